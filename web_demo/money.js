/** Exact sums of dollars: decimal strings in, BigInt micro-dollars inside, words out. */

const WHOLE = new Intl.NumberFormat("en-US");
const DECIMAL = /^(\d+)(?:\.(\d{1,6})0*)?$/;

/** "0.5206" → 520600n. Throws on anything that is not a plain decimal of at most six places. */
export function microFromUsd(decimal) {
	const match = DECIMAL.exec(decimal);
	if (!match) throw new RangeError(`not an amount in dollars: ${decimal}`);
	return BigInt(match[1]) * 1_000_000n + BigInt((match[2] ?? "").padEnd(6, "0"));
}

/** The sum of decimal strings, in micro-dollars. */
export function sumMicro(decimals) {
	return decimals.reduce((total, decimal) => total + microFromUsd(decimal), 0n);
}

/** 520600n → "$0.5206". At least `places` places, so that a running figure keeps its width. */
export function dollars(micro, places = 2) {
	const whole = WHOLE.format(micro / 1_000_000n);
	const fraction = (micro % 1_000_000n).toString().padStart(6, "0");
	const needed = fraction.replace(/0+$/, "").length;
	return `$${whole}.${fraction.slice(0, Math.max(places, needed))}`;
}
