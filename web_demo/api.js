/** The server over HTTP: JSON in, JSON out, streams of events, refusals as `Refusal`. */

export const ENDINGS = {
	"response.completed": "completed",
	"response.incomplete": "incomplete",
	"response.failed": "failed",
	"response.cancelled": "incomplete",
};

const SILENCE_MS = 45_000; // a stream that brings not even a comment for so long is dead: they are half a minute apart at most

/** What the server, or the lack of one, says no with; status 0: nobody answered. */
export class Refusal extends Error {
	constructor(status, error) {
		super(error?.message ?? "");
		Object.assign(this, { status, code: error?.code ?? (status ? null : "server_unreachable") });
	}
}

/** The server refused something because its session is closed or unknown. */
export function isAboutSession({ type, error }) {
	return type === "error" && (error?.code ?? "").startsWith("session_");
}

export class Api {
	constructor(origin, key, fetch = globalThis.fetch.bind(globalThis)) {
		Object.assign(this, { origin, key, fetch });
	}

	get = (path) => this.json("GET", path);
	post = (path, body = {}) => this.json("POST", path, body);
	delete = (path) => this.json("DELETE", path);

	async json(method, path, body) {
		const response = await this.request(method, path, { body });
		return response.status === 204 ? null : response.json().catch(() => ({}));
	}

	async request(method, path, { body, headers = {}, signal } = {}) {
		const response = await this.fetch(new URL(path, this.origin), {
			method,
			headers: {
				...(this.key && { Authorization: `Bearer ${this.key}` }),
				...(body && { "Content-Type": "application/json" }),
				...headers,
			},
			body: body && JSON.stringify(body),
			signal,
		}).catch((error) => {
			if (error.name === "AbortError") throw error;
			throw new Refusal(0);
		});
		if (response.ok) return response;
		const refused = await response.json().catch(() => ({}));
		throw new Refusal(response.status, refused.error);
	}

	/** Server-sent events of a response, until the stream ends, breaks, or has gone silent. */
	async *events(method, path, { signal, ...options } = {}) {
		const hangUp = new AbortController();
		let timer;
		const heard = () => {
			clearTimeout(timer);
			timer = setTimeout(() => hangUp.abort(), SILENCE_MS);
		};
		heard();
		try {
			const signals = [hangUp.signal, signal].filter(Boolean);
			const response = await this.request(method, path, { ...options, signal: AbortSignal.any(signals) });
			yield { type: "page:answered", session: response.headers.get("X-Kosmosx-Session") };
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			let rest = "";
			for (;;) {
				const { done, value } = await reader.read();
				heard(); // Comments count: they are there for that.
				if (done) return;
				const blocks = (rest + value).split("\n\n");
				rest = blocks.pop();
				for (const block of blocks) {
					const data = block.split("\n").find((line) => line.startsWith("data: {"));
					if (data) yield JSON.parse(data.slice(6));
				}
			}
		} finally {
			clearTimeout(timer);
			hangUp.abort();
		}
	}
}
