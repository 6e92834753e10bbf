import assert from "node:assert/strict";
import { test } from "node:test";

import { dollars, microFromUsd, sumMicro } from "../../web_demo/money.js";

test("decimal strings are read exactly", () => {
  assert.equal(microFromUsd("0.5206"), 520_600n);
  assert.equal(microFromUsd("12"), 12_000_000n);
  assert.equal(microFromUsd("0.000200"), 200n);
  assert.equal(microFromUsd("0.00020000"), 200n);
  assert.equal(microFromUsd("123456789012345678.000001"), 123456789012345678000001n);
});

test("what is not an amount is refused", () => {
  for (const text of ["", "1e3", "-1", ".5", "0.0000001", "NaN", "$1"]) {
    assert.throws(() => microFromUsd(text), RangeError, text);
  }
});

test("sums have no rounding", () => {
  assert.equal(sumMicro(["0.1", "0.2"]), 300_000n);
  assert.equal(sumMicro(Array(1000).fill("0.0002")), 200_000n);
  assert.equal(sumMicro([]), 0n);
});

test("dollars keep a width, and every digit that counts", () => {
  assert.equal(dollars(0n), "$0.00");
  assert.equal(dollars(520_600n), "$0.5206");
  assert.equal(dollars(500_000n, 4), "$0.5000");
  assert.equal(dollars(1_234_567_890_001n, 4), "$1,234,567.890001");
});
