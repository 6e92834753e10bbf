/**
 * The API key: from the address's fragment or from the form, kept in memory.
 *
 * It goes into sessionStorage only when the user asks for that, and never stays in the address.
 */

import { store, stored } from "./storage.js";

const SLOT = "kosmosx-key";
// The characters of an HTTP token: the key travels as a WebSocket subprotocol.
const SHAPE = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{8,512}$/;

export const looksLikeKey = (text) => SHAPE.test(text);

/** The key in a fragment like `#key=kx_live_…`, or null. Pure. */
export const keyInFragment = (fragment) => new URLSearchParams(fragment.replace("#", "")).get("key")?.trim() || null;

/** Take the key out of the address bar, and out of the history entry, at once. */
export function takeKeyFromAddress() {
	const key = keyInFragment(location.hash);
	if (key !== null) history.replaceState(null, "", location.pathname + location.search);
	return key;
}

export const rememberedKey = () => stored("sessionStorage", SLOT);
export const remember = (key) => store("sessionStorage", SLOT, key);
export const forget = () => remember(null);
