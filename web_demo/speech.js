/** What a screen reader is told while an answer streams: whole sentences, never single tokens. */

const SENTENCE_END = /[.!?…。！？]+["'”’)\]]*(?=\s)|\n+/g;
const KEPT = 6;

/** The sentences that became whole since `from`, and how far they reach. Pure. */
export function wholeSentences(text, from, ended) {
	SENTENCE_END.lastIndex = from;
	let upTo = from;
	for (let match = SENTENCE_END.exec(text); match; match = SENTENCE_END.exec(text)) {
		upTo = SENTENCE_END.lastIndex;
	}
	if (ended) upTo = text.length;
	return { said: text.slice(from, upTo).trim(), upTo };
}

/** Feeds a polite live region. */
export class Speech {
	#region;
	#turnKey = null;
	#upTo = 0;

	constructor(region) {
		this.#region = region;
	}

	follow(turn, ended) {
		if (turn.key !== this.#turnKey) [this.#turnKey, this.#upTo] = [turn.key, 0];
		const { said, upTo } = wholeSentences(turn.text, this.#upTo, ended);
		this.#upTo = upTo;
		if (said) this.say(said);
	}

	say(words) {
		const line = document.createElement("p");
		line.textContent = words;
		this.#region.append(line);
		while (this.#region.childElementCount > KEPT) this.#region.firstElementChild.remove();
	}
}
