import assert from "node:assert/strict";
import { test } from "node:test";

import { parse, render, split } from "../../web_demo/markdown.js";

/** A document that can only do what the renderer may use. */
const document = {
  createTextNode: (data) => ({ data }),
  createElement: (tag) => ({
    tag,
    attributes: {},
    children: [],
    setAttribute(name, value) {
      this.attributes[name] = value;
    },
    append(...nodes) {
      this.children.push(...nodes);
    },
  }),
};

function draw(source, marks = []) {
  const mark = (text, { ref }) => ({ tag: "mark", attributes: { ref }, children: [{ data: text }] });
  return render(parse(source), { document, marks, mark }).map(html).join("");
}

function html(node) {
  if (node.data !== undefined) return node.data.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const attributes = Object.entries(node.attributes).map(([name, value]) => ` ${name}="${value}"`);
  return `<${node.tag}${attributes.join("")}>${node.children.map(html).join("")}</${node.tag}>`;
}

test("blocks", () => {
  assert.equal(draw("one\ntwo\n\nthree"), "<p>one<br></br>two</p><p>three</p>");
  assert.equal(draw("# Title\ntext"), "<h3>Title</h3><p>text</p>");
  assert.equal(draw("- a\n- b\n  - c"), "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>");
  assert.equal(draw("3. a\n4. b"), '<ol start="3"><li>a</li><li>b</li></ol>');
  assert.equal(draw("> a\n> > b"), "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>");
  assert.equal(draw("a\n\n---\n\nb"), "<p>a</p><hr></hr><p>b</p>");
});

test("code stays as it is", () => {
  assert.equal(
    draw("```py\n**x** <b>\n```"),
    '<pre tabindex="0"><code data-language="py">**x** &lt;b>\n</code></pre>',
  );
  assert.equal(draw("`a*b*` ``c`d``"), "<p><code>a*b*</code> <code>c`d</code></p>");
});

test("a fence that is still open is code already", () => {
  assert.equal(draw("```\nhalf"), '<pre tabindex="0"><code>half\n</code></pre>');
});

test("spans", () => {
  assert.equal(draw("**a *b* c** _d_ ~~e~~"), "<p><strong>a <em>b</em> c</strong> <em>d</em> <del>e</del></p>");
  assert.equal(draw("2 * 3 * 4, snake_case_name"), "<p>2 * 3 * 4, snake_case_name</p>");
  assert.equal(draw("\\*not\\* **half"), "<p>*not* **half</p>");
});

test("only safe links are links", () => {
  assert.match(draw("[x](https://a.example/b)"), /^<p><a href="https:\/\/a\.example\/b" target="_blank" rel="noopener noreferrer nofollow">x<\/a><\/p>$/);
  assert.match(draw("see https://a.example/b."), /href="https:\/\/a\.example\/b" .*<\/a>\.<\/p>$/);
  assert.match(draw("[x](mailto:a@b.example)"), /href="mailto:a@b\.example"/);
  for (const href of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/path", "vbscript:x", "file:///etc/passwd"]) {
    assert.doesNotMatch(draw(`[x](${href})`), /<a/, href);
  }
});

test("HTML of a model stays text", () => {
  const hostile = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
  ];
  for (const text of hostile) {
    assert.equal(draw(text), `<p>${text.replace(/</g, "&lt;")}</p>`);
    assert.doesNotMatch(draw(`- **${text}**\n> ${text}`), /<(img|script|svg|a|iframe)/);
  }
});

test("a phrase is marked by its place in the source, whatever the Markdown does", () => {
  const source = "A **red circle** and a [blue](https://a.example) one";
  const start = source.indexOf("red circle");
  const marked = draw(source, [{ ref: "1", start, end: start + "red circle".length }]);
  assert.match(marked, /<strong><mark ref="1">red circle<\/mark><\/strong>/);
  assert.match(draw("- a dog\n- a cat", [{ ref: "2", start: 10, end: 15 }]), /<li><mark ref="2">a cat<\/mark><\/li>/);
});

test("a phrase that the Markdown cuts is marked in both parts", () => {
  const marked = draw("the **red** circle", [{ ref: "1", start: 4, end: 18 }]);
  assert.equal(marked, '<p>the <strong><mark ref="1">red</mark></strong><mark ref="1"> circle</mark></p>');
});

test("every leaf knows where it stood", () => {
  const source = "# H *i*\n\n- `co` \\* **b _c_**\n  > q\n\n1. x\nhttps://a.example/ `z`";
  const visit = (node) => {
    if (node.children) node.children.forEach(visit);
    else assert.equal(source.slice(node.start, node.start + node.text.length), node.text);
  };
  parse(source).forEach(visit);
});

test("of overlapping marks the first wins", () => {
  const marks = [{ start: 0, end: 4 }, { start: 2, end: 6 }];
  assert.deepEqual(
    split({ text: "abcdefgh", start: 0 }, marks).map(({ text }) => text),
    ["abcd", "ef", "gh"],
  );
});

test("odd input ends soon", () => {
  const before = performance.now();
  for (const text of ["*".repeat(5000), "**a ".repeat(1500), "[".repeat(5000), ">".repeat(3000), "`".repeat(5000), "- ".repeat(3000)]) {
    draw(text);
  }
  assert.ok(performance.now() - before < 3000);
});
