/** The account's conversations on the server: what the list shows, and what was said in each. */

const TITLE_LENGTH = 120;
const MOST = 1_000;
const ITEMS = "limit=100&order=asc";
const PICTURES = "include[]=message.input_image.image_url";
const CHUNK = 512; // the longest value of metadata
const CHUNKS = 3;

export class History {
	constructor(api) {
		this.api = api;
	}

	/** All conversations, the last used first: `{id, title, branches, live}`. */
	async list() {
		const found = [];
		for (let after = ""; ; after = `&after=${found.at(-1).id}`) {
			const page = await this.api.get(`/v1/conversations?limit=100${after}`);
			found.push(...page.data.map(entry));
			if (!page.has_more || found.length >= MOST) return found;
		}
	}

	async entry(id) {
		return entry(await this.api.get(`/v1/conversations/${id}`));
	}

	/** Where the words were said: entries with `found: {turn_id, before, words, after}`. */
	async search(words) {
		const asked = new URLSearchParams({ "kosmosx:search": words, limit: 50 });
		return (await this.api.get(`/v1/conversations?${asked}`)).data.map(entry);
	}

	async create(question) {
		const title = question.replace(/\s+/g, " ").trim().slice(0, TITLE_LENGTH);
		return entry(await this.api.post("/v1/conversations", { metadata: { title } }));
	}

	describe({ id, title, branches }) {
		const notes = branches.map(({ at, number, head }) => `${at}.${number}.${head}`);
		const text = notes.slice(-20).join(" ");
		const metadata = { title };
		for (let part = 0; part < CHUNKS && text.length > part * CHUNK; part += 1) {
			metadata[`branches${part}`] = text.slice(part * CHUNK, (part + 1) * CHUNK);
		}
		return this.api.post(`/v1/conversations/${id}`, { metadata });
	}

	remove(id) {
		return this.api.delete(`/v1/conversations/${id}`);
	}

	/** The conversation goes on from this turn (null: from the beginning). */
	moveHead(id, turnId) {
		return this.api.post(`/v1/conversations/${id}/head`, turnId ? { turn_id: turnId } : {});
	}

	/** What was said, as turns; pictures by their ids only. */
	async turns(id) {
		const items = [];
		for (let after = ""; ; after = `&after=${items.at(-1).id}`) {
			const page = await this.api.get(`/v1/conversations/${id}/items?${ITEMS}${after}`);
			items.push(...page.data);
			if (!page.has_more) return turnsOf(items);
		}
	}

	/** The picture of an item as a data: URL; null if the server no longer has it. */
	async picture(conversation, { id, item }) {
		const { content } = await this.api.get(`/v1/conversations/${conversation}/items/${item}?${PICTURES}`);
		return content.find((part) => part["kosmosx:image_id"] === id)?.image_url ?? null;
	}

	/** The question of a response that another tab asked, with its pictures. */
	async question(responseId) {
		const { data } = await this.api.get(`/v1/responses/${responseId}/input_items?${ITEMS}&${PICTURES}`);
		return turnsOf(data.map((item) => ({ ...item, "kosmosx:turn_id": responseId })))[0];
	}
}

/** Items → `{key, responseId, question, images: [{id, item, url}], text, groundings, status}`. Pure. */
export function turnsOf(items) {
	const turns = new Map();
	for (const item of items) {
		const id = item["kosmosx:turn_id"] ?? "pending";
		const responseId = item["kosmosx:turn_id"] ?? null;
		const fresh = { key: id, responseId, question: "", images: [], text: "", groundings: [], status: "completed" };
		const turn = turns.get(id) ?? fresh;
		turns.set(id, turn);
		if (item.type !== "message") continue;
		for (const part of item.content) {
			if (part.type === "input_image") turn.images.push({ id: part["kosmosx:image_id"], item: item.id, url: part.image_url });
			else if (item.role === "assistant") {
				turn.text += part.text;
				turn.groundings.push(...(part["kosmosx:grounding"] ?? []));
			} else turn.question += (turn.question && "\n") + part.text;
		}
		if (item.role === "assistant" && item.status === "incomplete") turn.status = "incomplete";
	}
	return [...turns.values()];
}

function entry({ id, metadata, ...more }) {
	const text = Array.from({ length: CHUNKS }, (_, part) => metadata[`branches${part}`] ?? "").join("");
	const branches = text.split(" ").filter(Boolean).map((note) => {
		const [at, number, head] = note.split(".");
		return { at, number: Number(number), head };
	});
	return { id, title: metadata.title ?? "", branches, live: more["kosmosx:live_response_id"] ?? null, found: more["kosmosx:found"] };
}

// -- branches: the other versions of what follows a turn --

/** The name of a fork: the turn that the versions follow. */
export function forkAfter(turn) {
	return turn ? turn.responseId.slice(5, 17) : "start";
}

/** `{number, count}` of the version on the page, where there are several. */
export function versionAt(branches, fork) {
	const others = branches.filter(({ at }) => at === fork).map(({ number }) => number);
	let number = 1;
	while (others.includes(number)) number += 1;
	return { number, count: others.length + 1 };
}

/** The branches after leaving the version on the page, whose newest turn is `head`, for another. */
export function leaving(branches, fork, head, toNumber = null) {
	const { number } = versionAt(branches, fork);
	const others = branches.filter((each) => each.at !== fork || each.number !== toNumber);
	return [...others, { at: fork, number, head }];
}
