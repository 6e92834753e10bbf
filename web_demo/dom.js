/** Two helpers for the DOM: make an element, and bring a live subtree up to date. */

/** `el("p", {class: "note"}, "text", node)`: strings become text nodes, null children are left out. */
export function el(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === true) element.setAttribute(name, "");
		else if (value !== false && value !== null && value !== undefined) {
			element.setAttribute(name, value);
		}
	}
	element.append(...children.filter((child) => child !== null && child !== undefined));
	return element;
}

/**
 * Make `parent`'s children equal to `fresh`, keeping every node that can stay: while an answer
 * streams, the reader's focus, selection and scroll position hold.
 */
export function reconcile(parent, fresh) {
	fresh.forEach((node, index) => {
		const old = parent.childNodes[index];
		if (!old) parent.append(node);
		else if (old.nodeName !== node.nodeName || old.dataset?.key !== node.dataset?.key) {
			old.replaceWith(node);
		} else if (old.nodeType === Node.TEXT_NODE) setText(old, node.data);
		else update(old, node);
	});
	while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

/** Make one element equal to `fresh`. */
export function update(old, fresh) {
	setAttributes(old, fresh);
	reconcile(old, [...fresh.childNodes]);
}

function setText(node, text) {
	if (node.data === text) return;
	if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
	else node.data = text;
}

function setAttributes(old, fresh) {
	for (const { name } of [...old.attributes]) {
		if (!fresh.hasAttribute(name)) old.removeAttribute(name);
	}
	for (const { name, value } of fresh.attributes) {
		if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	}
}
