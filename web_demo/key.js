/**
 * The API key: from the address's fragment or from the form, kept in memory.
 *
 * It goes into sessionStorage only when the user asks for that, and never stays in the address.
 */

const SLOT = "kosmosx-key";
// The characters of an HTTP token: the key travels as a WebSocket subprotocol.
const SHAPE = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{8,512}$/;

/** Could this be a key at all? */
export function looksLikeKey(text) {
	return SHAPE.test(text);
}

/** The key in a fragment like `#key=kx_live_…`, or null. Pure. */
export function keyInFragment(fragment) {
	const key = new URLSearchParams(fragment.replace(/^#/, "")).get("key")?.trim();
	return key || null;
}

/** Take the key out of the address bar, and out of the history entry, at once. */
export function takeKeyFromAddress() {
	const key = keyInFragment(location.hash);
	if (key !== null) history.replaceState(null, "", location.pathname + location.search);
	return key;
}

export function rememberedKey() {
	return attempt(() => sessionStorage.getItem(SLOT));
}

export function remember(key) {
	attempt(() => sessionStorage.setItem(SLOT, key));
}

export function forget() {
	attempt(() => sessionStorage.removeItem(SLOT));
}

/** Storage may be switched off in the browser: the page works without. */
function attempt(use) {
	try {
		return use();
	} catch {
		return null;
	}
}
