/**
 * A small, safe Markdown: text → a tree (pure) → DOM nodes (createElement and text nodes only).
 *
 * Every text leaf remembers where it stood in the source, so that phrases of the answer can be
 * marked whatever the Markdown around them does. HTML in the text stays text.
 */

const LINK_SCHEMES = new Set(["http:", "https:", "mailto:"]);
const MAX_DEPTH = 8;

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}>[ \t]?/;
const BULLET = /^ {0,3}[-*+][ \t]+/;
const NUMBER = /^ {0,3}(\d{1,9})[.)][ \t]+/;

// -- text → tree --

/**
 * Markdown → a list of blocks `{tag, attributes?, children, start}`; leaves are `{text, start}`.
 * `start`: where the source begins in the text whose offsets count.
 */
export function parse(source, start = 0) {
	const lines = source.split("\n").map((text) => {
		const line = { text, start };
		start += text.length + 1;
		return line;
	});
	return blocks(lines, 0);
}

function blocks(lines, depth) {
	const tree = [];
	let at = 0;
	while (at < lines.length) {
		const [node, taken] = block(lines, at, depth);
		if (node) tree.push({ ...node, start: lines[at].start });
		at += taken;
	}
	return tree;
}

function block(lines, at, depth) {
	const { text } = lines[at];
	if (text.trim() === "") return [null, 1];
	if (FENCE.test(text)) return fenced(lines, at);
	if (RULE.test(text)) return [{ tag: "hr", children: [] }, 1];
	if (HEADING.test(text)) return [heading(lines[at]), 1];
	if (depth < MAX_DEPTH) {
		if (QUOTE.test(text)) return quote(lines, at, depth);
		if (BULLET.test(text)) return list(lines, at, depth, "ul", BULLET);
		if (NUMBER.test(text)) return list(lines, at, depth, "ol", NUMBER);
	}
	return paragraph(lines, at, depth);
}

function fenced(lines, at) {
	const [, fence, language] = FENCE.exec(lines[at].text);
	let end = at + 1;
	while (end < lines.length && !closesFence(lines[end].text, fence)) end += 1;
	const body = lines.slice(at + 1, end);
	const children = body.map(({ text, start }) => ({ text: `${text}\n`, start }));
	const code = { tag: "code", attributes: language ? { "data-language": language } : {}, children };
	return [{ tag: "pre", attributes: { tabindex: "0" }, children: [code] }, end + 1 - at];
}

function closesFence(text, fence) {
	const trimmed = text.trim();
	return trimmed.length >= fence.length && trimmed === fence[0].repeat(trimmed.length);
}

/** The page has its own h1 and h2: an answer's headings begin below them. */
function heading(line) {
	const [prefix, marks] = HEADING.exec(line.text);
	const rest = line.text.slice(prefix.length).replace(/[ \t]+#+[ \t]*$/, "");
	return {
		tag: `h${Math.min(6, marks.length + 2)}`,
		children: inline(rest, line.start + prefix.length),
	};
}

function quote(lines, at, depth) {
	let end = at;
	while (end < lines.length && QUOTE.test(lines[end].text)) end += 1;
	const inner = lines.slice(at, end).map((line) => cut(line, QUOTE.exec(line.text)[0].length));
	return [{ tag: "blockquote", children: blocks(inner, depth + 1) }, end - at];
}

function list(lines, at, depth, tag, marker) {
	const items = [];
	const first = marker.exec(lines[at].text);
	let end = at;
	while (end < lines.length && marker.test(lines[end].text) && !RULE.test(lines[end].text)) {
		const width = marker.exec(lines[end].text)[0].length;
		const inner = [cut(lines[end], width)];
		end += 1;
		while (end < lines.length && belongsToItem(lines, end, width)) {
			inner.push(cut(lines[end], Math.min(width, indent(lines[end].text))));
			end += 1;
		}
		items.push({ tag: "li", children: tight(blocks(inner, depth + 1)) });
		if (lines[end]?.text.trim() === "" && marker.test(lines[end + 1]?.text ?? "")) end += 1;
	}
	const attributes = first[1] && first[1] !== "1" ? { start: first[1] } : {};
	return [{ tag, attributes, children: items }, end - at];
}

function belongsToItem(lines, at, width) {
	if (lines[at].text.trim() === "") return indent(lines[at + 1]?.text ?? "") >= Math.min(width, 2);
	return indent(lines[at].text) >= Math.min(width, 2);
}

/** A list item of one paragraph shows it without the paragraph's spacing. */
function tight(children) {
	const [first, ...rest] = children;
	return first?.tag === "p" ? [...first.children, ...rest] : children;
}

function paragraph(lines, at, depth) {
	let end = at + 1;
	while (end < lines.length && !interrupts(lines[end].text, depth)) end += 1;
	// Lines are parsed one by one: inside quotes and lists they are not adjacent in the source.
	const children = lines.slice(at, end).flatMap((line, index) => {
		const lead = indent(line.text);
		const content = inline(line.text.slice(lead).trimEnd(), line.start + lead);
		return index === 0 ? content : [{ tag: "br", children: [] }, ...content];
	});
	return [{ tag: "p", children }, end - at];
}

function interrupts(text, depth) {
	const patterns = depth < MAX_DEPTH ? [QUOTE, BULLET, NUMBER] : [];
	return text.trim() === "" || [FENCE, RULE, HEADING, ...patterns].some((each) => each.test(text));
}

function indent(text) {
	return text.length - text.trimStart().length;
}

function cut(line, width) {
	return { text: line.text.slice(width), start: line.start + width };
}

// In order of precedence. Each pattern is tried where a special character stands.
const SPANS = [
	{ pattern: /\\([!-/:-@[-`{-~])/y, node: ([, escaped], start) => ({ text: escaped, start: start + 1 }) },
	{ pattern: /(`+)(?!`)(.{1,2000}?)(?<!`)\1(?!`)/y, node: codeSpan },
	{ pattern: /\[([^\[\]\n]+)\]\(([^\s()]+)\)/y, node: link },
	{ pattern: /<?(https?:\/\/[^\s<>()"'`\]]*[^\s<>()"'`\].,:;!?*_])>?/y, node: bareLink },
	{ pattern: /\*\*(?!\s)(.{1,2000}?)(?<!\s)\*\*(?!\*)/y, node: emphasis("strong", 2) },
	{ pattern: /(?<!\w)__(?!\s)(.{1,2000}?)(?<!\s)__(?!\w)/y, node: emphasis("strong", 2) },
	{ pattern: /~~(?!\s)(.{1,2000}?)(?<!\s)~~/y, node: emphasis("del", 2) },
	{ pattern: /\*(?![\s*])([^*]+?)(?<!\s)\*(?!\*)/y, node: emphasis("em", 1) },
	{ pattern: /(?<!\w)_(?![\s_])([^_]+?)(?<!\s)_(?!\w)/y, node: emphasis("em", 1) },
];
const SPECIAL = /[\\`[<*_~]|https?:/g;

function inline(text, start, depth = 0) {
	const nodes = [];
	let plainFrom = 0;
	let at = 0;
	while (depth < MAX_DEPTH && at < text.length) {
		SPECIAL.lastIndex = at;
		const special = SPECIAL.exec(text);
		if (!special) break;
		at = special.index;
		const [node, length] = span(text, at, start, depth);
		if (node) {
			if (plainFrom < at) nodes.push({ text: text.slice(plainFrom, at), start: start + plainFrom });
			nodes.push(node);
			plainFrom = at + length;
		}
		at += length;
	}
	if (plainFrom < text.length) nodes.push({ text: text.slice(plainFrom), start: start + plainFrom });
	return nodes;
}

function span(text, at, start, depth) {
	for (const { pattern, node } of SPANS) {
		pattern.lastIndex = at;
		const match = pattern.exec(text);
		const made = match && node(match, start + at, depth);
		if (made) return [made, match[0].length];
	}
	return [null, 1];
}

function codeSpan([, ticks, code], start) {
	return { tag: "code", children: [{ text: code, start: start + ticks.length }] };
}

function link([, label, href], start, depth) {
	return anchor(href, inline(label, start + 1, depth + 1));
}

function bareLink([whole, href], start) {
	return anchor(href, [{ text: href, start: start + (whole.startsWith("<") ? 1 : 0) }]);
}

function anchor(href, children) {
	if (!URL.canParse(href) || !LINK_SCHEMES.has(new URL(href).protocol)) return null;
	const attributes = { href, target: "_blank", rel: "noopener noreferrer nofollow" };
	return { tag: "a", attributes, children };
}

function emphasis(tag, width) {
	return ([, content], start, depth) => ({
		tag,
		children: inline(content, start + width, depth + 1),
	});
}

// -- tree → nodes --

/**
 * Tree → DOM nodes. `marks` are `{start, end, …}` of the source; `mark(text, mark)` makes the node
 * of a marked stretch, `frame(pre)` what a block of code stands in. A phrase that the Markdown cuts in two is marked in both parts.
 */
export function render(tree, { document, marks = [], mark = null, frame = (pre) => pre }) {
	const sorted = [...marks].sort((a, b) => a.start - b.start || a.end - b.end);
	const nodes = (children) =>
		children.flatMap((child) => ("tag" in child ? [element(child)] : leaves(child)));
	const element = ({ tag, attributes = {}, children }) => {
		const made = document.createElement(tag);
		for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
		made.append(...nodes(children));
		return tag === "pre" ? frame(made) : made;
	};
	const leaves = (leaf) =>
		split(leaf, sorted).map(({ text, by }) =>
			by ? mark(text, by) : document.createTextNode(text),
		);
	return nodes(tree);
}

/** A text leaf, cut where marks begin and end. Of overlapping marks the first one wins. */
export function split({ text, start }, marks) {
	const pieces = [];
	let at = 0;
	for (const by of marks) {
		const from = Math.max(at, by.start - start);
		const to = Math.min(text.length, by.end - start);
		if (from >= to) continue;
		if (from > at) pieces.push({ text: text.slice(at, from), by: null });
		pieces.push({ text: text.slice(from, to), by });
		at = to;
	}
	if (at < text.length) pieces.push({ text: text.slice(at), by: null });
	return pieces;
}
