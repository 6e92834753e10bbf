import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { LANGUAGES, t } from "../../web_demo/i18n.js";

const ROOT = new URL("../../web_demo/", import.meta.url);
const read = (name) => readFileSync(new URL(name, ROOT), "utf8");
const unquoted = (text) => JSON.parse(`"${text}"`);

/** What `t` is asked for, and the tables of sentences that are handed to it. */
function saidByModules() {
  const sources = readdirSync(ROOT).filter((name) => name.endsWith(".js")).map(read);
  const calls = sources.flatMap((source) => [...source.matchAll(/\bt\(([^()]*?"(?:[^"\\]|\\.)*"[^()]*?)[,)]/g)]);
  const inCalls = calls.flatMap(([, inner]) => [...inner.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text));
  const tables = ["words.js", "receipt.js"].map(read).flatMap((source) => [...source.matchAll(/^(?:\t\w+:|const [A-Z]+ =) "((?:[^"\\]|\\.)*)"/gm)]);
  const keys = [...read("sheets.js").matchAll(/^\t\["[^"]+", "([^"]+)"\]/gm)];
  const samples = JSON.parse(read("samples.json")).map(({ alt }) => alt);
  return [...[...inCalls, ...tables.map(([, text]) => text), ...keys.map(([, text]) => text)].map(unquoted), ...samples];
}

function saidByHtml() {
  const html = read("index.html").replace(/^[^]*<body>/, "");
  const fixed = html.replace(/(<(\w+)[^>]*translate="no"[^>]*>)[^<]*/g, "$1");
  const texts = [...fixed.matchAll(/>([^<]*[^<\s][^<]*)</g)].map(([, text]) => text.trim());
  const attributes = [...html.matchAll(/ (?:aria-label|placeholder|title)="([^"]+)"/g)].map(([, text]) => text);
  return [...texts, ...attributes];
}

for (const language of Object.keys(LANGUAGES).filter((each) => each !== "en")) {
  test(`the catalogue of ${language} has all that is said, with the same blanks`, () => {
    const words = JSON.parse(read(`locales/${language}.json`));
    const said = [...saidByModules(), ...saidByHtml()];
    assert.ok(said.length > 180);
    assert.deepEqual(said.filter((text) => !Object.hasOwn(words, text)), []);
    const blanks = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
    for (const [english, other] of Object.entries(words)) assert.deepEqual(blanks(other), blanks(english), english);
  });
}

test("blanks are filled in, and what is not in the catalogue stays English", () => {
  assert.equal(t("resumed at token {n}", { n: 118 }), "resumed at token 118");
});
