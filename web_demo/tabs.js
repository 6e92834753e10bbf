/** What the tabs of this browser tell each other, so that they stay in step. */

export class Tabs {
	#channel = new BroadcastChannel("kosmosx");

	/** `heard({type, conversation, responseId})`: `changed` or `began`. */
	constructor(heard) {
		this.#channel.onmessage = ({ data }) => heard(data);
	}

	tell(type, conversation, responseId = null) {
		this.#channel.postMessage({ type, conversation, responseId });
	}
}
