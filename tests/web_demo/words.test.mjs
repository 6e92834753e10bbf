import assert from "node:assert/strict";
import { test } from "node:test";

import { marksOf, places, whereInWords } from "../../web_demo/grounding.js";
import { keyInFragment, looksLikeKey } from "../../web_demo/key.js";
import { fitted } from "../../web_demo/picture.js";
import { duration, receiptLines } from "../../web_demo/receipt.js";
import { wholeSentences } from "../../web_demo/speech.js";
import { errorInWords } from "../../web_demo/words.js";

test("offsets in characters become offsets in code units", () => {
  const [mark] = marksOf("t", "a😀b", [{ phrase: "b", start: 2, end: 99, boxes: [] }]);
  assert.deepEqual([mark.start, mark.end], [3, 4]);
});

test("phrases with the same boxes share a number, others get the next", () => {
  const box = [[0, 0, 0.5, 0.5]];
  const marks = marksOf("t", "😀 a dog, it, a cat", [
    { phrase: "a dog", start: 2, end: 7, boxes: box },
    { phrase: "it", start: 9, end: 11, boxes: box },
    { phrase: "a cat", start: 13, end: 18, boxes: [[0.5, 0.5, 1, 1]] },
  ]);
  assert.deepEqual(marks.map(({ number }) => number), [1, 1, 2]);
  assert.equal("😀 a dog, it, a cat".slice(marks[0].start, marks[0].end), "a dog");
  assert.deepEqual(places(marks).map(({ phrase }) => phrase), ["a dog", "a cat"]);
});

test("places in words", () => {
  assert.equal(whereInWords([0, 0, 0.2, 0.2]), "at the top left");
  assert.equal(whereInWords([0.4, 0.4, 0.6, 0.6]), "in the centre");
  assert.equal(whereInWords([0.8, 0.4, 1, 0.6]), "on the right");
  assert.equal(whereInWords([0.4, 0.9, 0.6, 1]), "at the bottom");
});

test("a key is read from the fragment", () => {
  assert.equal(keyInFragment("#key=kx_live_a_b-c_D"), "kx_live_a_b-c_D");
  assert.equal(keyInFragment("#question"), null);
  assert.equal(keyInFragment("#key="), null);
  assert.equal(keyInFragment(""), null);
});

test("what could not travel as a subprotocol is no key", () => {
  assert.ok(looksLikeKey("kx_live_0a1b_c-D_e"));
  for (const text of ["", "short", "has space in it", "comma,separated", "schlüssel_key"]) {
    assert.ok(!looksLikeKey(text), text);
  }
});

test("large pictures are made smaller, small ones stay", () => {
  assert.deepEqual(fitted(4000, 3000), [1024, 768]);
  assert.deepEqual(fitted(300, 200), [300, 200]);
  assert.deepEqual(fitted(100, 100_000), [1, 1024]);
});

test("a receipt's lines are the server's figures", () => {
  const [line] = receiptLines({
    lines: [{ meter: "tokens", units: 60, billable_units: 100, unit_price_usd: "0.0002", amount_usd: "0.02" }],
  });
  assert.deepEqual(line, { name: "Tokens", used: "60", billed: "100", raised: true, each: "$0.0002", amount: "$0.02" });
  assert.equal(duration(95), "1 min 35 s");
  assert.equal(duration(7260), "2 h 1 min");
});

test("screen readers hear whole sentences", () => {
  const first = wholeSentences("There is a dog. It is", 0, false);
  assert.deepEqual(first, { said: "There is a dog.", upTo: 15 });
  assert.deepEqual(wholeSentences("There is a dog. It is", 15, false), { said: "", upTo: 15 });
  assert.equal(wholeSentences("There is a dog. It is red", 15, true).said, "It is red");
  assert.equal(wholeSentences("It costs 3.5 or", 0, false).said, "");
});

test("errors have words, known or not", () => {
  assert.match(errorInWords({ status: 401 }), /does not accept this key/);
  // A connection's end has a code for its words.
  assert.match(errorInWords({ code: "policy", message: "expired_api_key" }), /key has expired/);
  assert.match(errorInWords({ code: "previous_response_not_found", message: "x" }), /starts a new one/);
  assert.equal(errorInWords({ status: 400, code: "odd", message: "The picture is broken" }), "The picture is broken.");
  assert.match(errorInWords({}), /Something went wrong/);
  assert.match(errorInWords(), /Something went wrong/);
});
