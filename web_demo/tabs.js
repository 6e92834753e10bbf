/** What the tabs of this browser tell each other, so that they stay in step; and a tab itself. */

export class Tabs {
	#channel = new BroadcastChannel("kosmosx");

	/** `heard({type, conversation, responseId})`: `changed`, `began`, `looking`. */
	constructor(heard) {
		this.#channel.onmessage = ({ data }) => heard(data);
	}

	tell(type, conversation, responseId = null) {
		this.#channel.postMessage({ type, conversation, responseId });
	}
}

const SLOT = "kosmosx-unfinished";

/** The answer that came as this tab was reloaded, or null. */
export function unfinished() {
	try {
		return JSON.parse(sessionStorage.getItem(SLOT));
	} catch {
		return null;
	}
}

export function noteUnfinished(answer) {
	try {
		sessionStorage.setItem(SLOT, JSON.stringify(answer));
	} catch {
		// Storage may be switched off: a reload then shows the answer when it is whole.
	}
}
