/** What the browser keeps, as JSON. Storage may be switched off: the page works without. */

export function stored(area, slot) {
	try {
		return JSON.parse(globalThis[area].getItem(slot));
	} catch {
		return null;
	}
}

/** Keep a value; null forgets it. */
export function store(area, slot, value) {
	try {
		if (value === null) globalThis[area].removeItem(slot);
		else globalThis[area].setItem(slot, JSON.stringify(value));
	} catch {
		// It holds for this visit.
	}
}
