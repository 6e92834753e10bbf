/** The account's conversations on the server, as the list shows them. */

const TITLE_LENGTH = 120;
const MOST = 1_000;
const CHUNK = 512; // the longest value of metadata
const CHUNKS = 3;

export class History {
	constructor(api) {
		this.api = api;
	}

	/** All conversations, the last used first: `{id, title, branches}`. */
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
}

function entry({ id, metadata, "kosmosx:found": found }) {
	const text = Array.from({ length: CHUNKS }, (_, part) => metadata[`branches${part}`] ?? "").join("");
	const branches = text.split(" ").filter(Boolean).map((note) => {
		const [at, number, head] = note.split(".");
		return { at, number: Number(number), head };
	});
	return { id, title: metadata.title ?? "", branches, found };
}
