/** The server over HTTP: JSON in, JSON out, streams of events, refusals as `Refusal`. */

export const ENDINGS = {
	"response.completed": "completed",
	"response.incomplete": "incomplete",
	"response.failed": "failed",
	"response.cancelled": "incomplete",
};

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

	/** Server-sent events of a response, until the stream ends or breaks. */
	async *events(method, path, options) {
		const response = await this.request(method, path, options);
		yield { type: "page:answered", session: response.headers.get("X-Kosmosx-Session") };
		const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
		let rest = "";
		try {
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return;
				const blocks = (rest + value).split("\n\n");
				rest = blocks.pop();
				for (const block of blocks) {
					const data = block.split("\n").find((line) => line.startsWith("data: {"));
					if (data) yield JSON.parse(data.slice(6));
				}
			}
		} finally {
			void reader.cancel().catch(() => {});
		}
	}
}
