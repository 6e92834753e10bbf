/** The versions of what follows a turn: made by asking anew, switched between. */

import { parentOf, shownTurns } from "./conversation.js";
import { errorInWords } from "./words.js";

const VARIED = 0.8; // an answer to the same question has to be another one

/** Which version of what follows its parent a turn is, and of how many: `{number, count}`. */
export function versionAfter(branches, parent) {
	return versionAt(branches, forkAfter(parent));
}

/** The name of a fork: the turn that the versions follow. */
export function forkAfter(turn) {
	return turn ? turn.responseId.slice(5, 17) : "start";
}

export function versionAt(branches, fork) {
	const others = branches.filter(({ at }) => at === fork).map(({ number }) => number);
	let number = 1;
	while (others.includes(number)) number += 1;
	return { number, count: others.length + 1 };
}

/** The branches after leaving the version on the page, whose newest turn is `head`, for another. */
export function leaving(branches, fork, head, toNumber = null) {
	const { number } = versionAt(branches, fork);
	const others = branches.filter((each) => each.at !== fork || each.number !== toNumber);
	return [...others, { at: fork, number, head }];
}

/** Ask a question of the past otherwise, or again: what followed it becomes another version. */
export async function askInstead(chat, key, question) {
	const turn = chat.turn(key);
	if (!turn || chat.live || chat.liveHere || chat.closing) return;
	if (turn.status === "failed" && turn.responseId) {
		// It was cut off from here; the server may have the answer by now.
		await chat.archive.load(turn.conversation, { quietly: true });
		if (!chat.turn(key)) return;
	}
	const failed = turn.status === "failed";
	let { fork } = turn;
	try {
		if (failed) chat.dispatch({ type: "page:removed", keys: [key] });
		else fork = await leave(chat.archive, turn);
	} catch (error) {
		chat.page.say(errorInWords(error));
		return;
	}
	const same = question === turn.question;
	const about = { temperature: same && !failed ? VARIED : 0, fork };
	// Perhaps the server has it, and only could not say so: then it is still the same question.
	const { temperature, idempotencyKey } = turn;
	if (same && turn.error?.code === "server_unreachable") Object.assign(about, { temperature, idempotencyKey });
	await chat.ask(question, turn.pictures, about);
}

/**
 * Leave a turn and what follows it: the next question goes on from its parent. The server leaves
 * it with the answer; only before the first turn nothing can be gone on from by its id.
 */
async function leave(archive, turn) {
	const { chat, entry } = archive;
	const parent = parentOf(chat.state, turn);
	const branches = leaving(entry.branches, forkAfter(parent), head(chat).responseId);
	if (!parent) {
		await archive.describe({ ...entry, branches });
		await moveHead(archive, null);
	}
	const turns = shownTurns(chat.state);
	chat.dispatch({ type: "page:removed", keys: turns.slice(turns.indexOf(turn)).map(({ key }) => key) });
	return { after: parent?.responseId ?? null, branches };
}

/** Show the version with this number instead. */
export async function switchVersion(archive, turn, number) {
	await archive.attempt(async () => {
		const { chat, entry } = archive;
		const fork = forkAfter(parentOf(chat.state, turn));
		const chosen = entry.branches.find((each) => each.at === fork && each.number === number);
		if (!chosen || chat.liveHere) return;
		const branches = leaving(entry.branches, fork, head(chat).responseId, number);
		await moveHead(archive, chosen.head);
		await archive.describe({ ...entry, branches });
		await archive.load(entry.id);
	});
}

/** The newest turn on the page that the server has. */
function head({ state }) {
	return shownTurns(state).findLast((each) => each.responseId && each.status !== "failed");
}

/** The conversation goes on from this turn (null: from the beginning). */
function moveHead({ api, entry }, turnId) {
	return api.post(`/v1/conversations/${entry.id}/head`, turnId ? { turn_id: turnId } : {});
}
