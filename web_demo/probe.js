/** What a WebSocket can't tell a browser. */

const TIMEOUT_MS = 8_000;

/**
 * Ask over HTTP: is the server there, is the key good?
 * → `{status, model, loading, error}`; status 0 means that nobody answered.
 */
export async function probe(origin, key) {
	try {
		const response = await fetch(new URL("/v1/models", origin), {
			headers: { Authorization: `Bearer ${key}` },
			signal: AbortSignal.timeout(TIMEOUT_MS),
		});
		const body = await response.json().catch(() => ({}));
		const model = body.data?.[0];
		return {
			status: response.status,
			model: model?.id ?? null,
			loading: model?.["kosmosx:context_window"] === null,
			error: body.error ?? null,
		};
	} catch {
		return { status: 0, model: null, loading: false, error: null };
	}
}
