/** Helpers for the DOM: find, make, and bring a live subtree up to date. */

const SVG = new Set(["svg", "g", "path", "rect", "text"]);

export const byId = (id) => document.getElementById(id);

/** `el("p", {class: "note"}, "text", node)`: strings become text nodes, null children are left out. */
export function el(tag, attributes = {}, ...children) {
	const made = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
	}
	made.append(...children.filter((child) => child != null));
	return made;
}

export const button = (attributes, ...children) => el("button", { type: "button", ...attributes }, ...children);

/** Load the style of a part of the page that is loaded late. */
export function stylesheet(href) {
	return new Promise((done) => {
		const link = el("link", { rel: "stylesheet", href });
		link.onload = link.onerror = done;
		document.head.append(link);
	});
}

/** Text that is there already is not touched. */
export function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/**
 * Make `parent`'s children (those after the first `kept`) equal to `fresh`, keeping every node that
 * can stay: while an answer streams, the reader's focus, selection and scroll position hold.
 */
export function reconcile(parent, fresh, kept = 0) {
	fresh.forEach((node, index) => {
		const old = parent.childNodes[kept + index];
		if (!old) parent.append(node);
		else if (old.nodeName !== node.nodeName || old.dataset?.key !== node.dataset?.key) old.replaceWith(node);
		else if (old.nodeType === Node.TEXT_NODE) setData(old, node.data);
		else update(old, node);
	});
	while (parent.childNodes.length > kept + fresh.length) parent.lastChild.remove();
}

/** Make one element equal to `fresh`; one with `data-own` fills itself. */
export function update(old, fresh) {
	for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
	for (const { name, value } of fresh.attributes) {
		if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	}
	if (!fresh.hasAttribute("data-own")) reconcile(old, [...fresh.childNodes]);
}

function setData(node, text) {
	if (node.data === text) return;
	if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
	else node.data = text;
}
