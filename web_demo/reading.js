/** A conversation as the server has it: what was said, and along with the answer that comes. */

import { isLive } from "./conversation.js";

const PAUSE_MS = 1_000;
const ATTEMPTS = 20;
const ITEMS = "limit=100&order=asc";
const PICTURES = "include[]=message.input_image.image_url";

export class Reader {
	#read = 0;

	/** `chat` takes what is read, `pictures` the pictures. */
	constructor({ api, chat, pictures }) {
		Object.assign(this, { api, chat, pictures });
	}

	/** All that was said, and then the answer that comes, whoever asked. */
	async catchUp(id) {
		await this.reload(id);
		const { "kosmosx:live_response_id": live } = await this.api.get(`/v1/conversations/${id}`);
		if (live && !this.chat.liveHere) await this.follow(id, live);
	}

	/** What was read before a question was asked is older than what the page knows. */
	async reload(id) {
		const { asked } = this.chat;
		const turns = await this.#turns(id);
		for (const turn of turns) await this.#takePictures(turn, id);
		if (asked === this.chat.asked) this.chat.dispatch({ type: "page:loaded", conversation: id, turns });
	}

	async #turns(id) {
		const items = [];
		for (let after = ""; ; after = `&after=${items.at(-1).id}`) {
			const page = await this.api.get(`/v1/conversations/${id}/items?${ITEMS}${after}`);
			items.push(...page.data);
			if (!page.has_more) return turnsOf(items);
		}
	}

	/** The pictures of a turn, each fetched once. */
	async #takePictures(turn, conversation) {
		for (const image of turn.images.filter(({ id }) => !this.pictures.has(id))) {
			const { pictureFromDataUrl } = await import("./picture.js");
			const url = image.url ?? (await this.#picture(conversation, image));
			if (url) this.pictures.set(image.id, await pictureFromDataUrl(image.id, url));
		}
		turn.pictures = turn.images.map(({ id }) => id).filter((id) => this.pictures.has(id));
	}

	/** The picture of an item as a data: URL; null if the server no longer has it. */
	async #picture(conversation, { id, item }) {
		const { content } = await this.api.get(`/v1/conversations/${conversation}/items/${item}?${PICTURES}`);
		return content.find((part) => part["kosmosx:image_id"] === id)?.image_url ?? null;
	}

	/** Read along with an answer that was asked for in another tab, or on another device. */
	async follow(conversation, responseId) {
		if (this.#knows(responseId)) return;
		const { data } = await this.api.get(`/v1/responses/${responseId}/input_items?${ITEMS}&${PICTURES}`);
		const [asked] = turnsOf(data.map((item) => ({ ...item, "kosmosx:turn_id": responseId })));
		await this.reload(conversation);
		await this.#takePictures(asked, conversation);
		if (this.#knows(responseId)) return;
		const key = `theirs-${(this.#read += 1)}`;
		const { question, pictures } = asked;
		this.chat.dispatch({ type: "page:asked", turn: { key, question, pictures, responseId, conversation, theirs: true } });
		await this.#readAlong(key, responseId);
		await this.reload(conversation).catch(() => {}); // It is only to be kept in step.
	}

	#knows(responseId) {
		return this.chat.state.turns.some((turn) => turn.responseId === responseId);
	}

	async #readAlong(key, responseId) {
		const goesOn = () => this.chat.turn(key) && isLive(this.chat.turn(key));
		for (let attempt = 0; attempt < ATTEMPTS && goesOn(); attempt += 1) {
			const path = `/v1/responses/${responseId}?stream=true&starting_after=${this.chat.turn(key).lastSequence}`;
			try {
				for await (const event of this.api.events("GET", path)) this.chat.dispatch({ ...event, turn: key });
			} catch {
				await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
			}
		}
		this.chat.dispatch({ type: "page:lost", turn: key, error: { code: "server_unreachable" } });
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
