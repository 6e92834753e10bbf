/** The keyboard: single keys where nothing is typed, Escape, Enter in an editor and on a phrase. */

/** `shortcuts` are by key; `ready()`: there is something that they could work on. */
export function listenToKeys({ shortcuts, escape, ready }) {
	document.addEventListener("keydown", (event) => {
		const { key, target } = event;
		if (document.querySelector("dialog[open]")) return;
		if (key === "Escape") escape();
		const entered = key === "Enter" && !event.shiftKey && !event.isComposing;
		if (entered && target.matches?.(".editor textarea")) act(event, () => target.form.requestSubmit());
		if ((entered || key === " ") && target.matches?.(".phrase")) {
			act(event, () => document.getElementById("frame").scrollIntoView({ block: "nearest" }));
		}
		const typing = target.matches?.("input, textarea, select");
		const alone = !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
		if (alone && Object.hasOwn(shortcuts, key) && ready()) act(event, shortcuts[key]);
	});
}

function act(event, does) {
	event.preventDefault();
	does();
}
