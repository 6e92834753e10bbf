/** Pictures: read, turned upright, made small enough, and ready to be shown and sent. */

import { t } from "./i18n.js";

export const MAX_SIDE = 1024;
const MAX_PNG_BYTES = 1_000_000;
const MAX_FILE_BYTES = 40_000_000;
const JPEG_QUALITY = 0.92;

export class PictureError extends Error {}

/** The size that fits into `MAX_SIDE`, never larger than it was. Pure. */
export function fitted(width, height, side = MAX_SIDE) {
	const scale = Math.min(1, side / Math.max(width, height));
	return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/**
 * A file → `{key, name, url, dataUrl, width, height}`.
 *
 * Redrawing turns a photo upright and leaves its metadata (where it was taken) behind. A small PNG
 * is sent as it is.
 */
export async function readPicture(file, name = file.name ?? "picture") {
	if (file.size > MAX_FILE_BYTES) throw new PictureError(t("This picture is larger than 40 MB. Choose a smaller one."));
	const bitmap = await createImageBitmap(file).catch(() => {
		throw new PictureError(t("This file can't be read as a picture. PNG, JPEG, WebP and GIF work."));
	});
	const [width, height] = fitted(bitmap.width, bitmap.height);
	const asItIs = file.type === "image/png" && width === bitmap.width && height === bitmap.height;
	const blob = asItIs && file.size <= MAX_PNG_BYTES ? file : await redrawn(bitmap, width, height, file);
	bitmap.close();
	return {
		key: crypto.randomUUID?.() ?? String(Math.random()),
		name,
		url: URL.createObjectURL(blob),
		dataUrl: await dataUrl(blob),
		width,
		height,
	};
}

async function redrawn(bitmap, width, height, { type }) {
	const canvas = document.createElement("canvas");
	Object.assign(canvas, { width, height });
	const context = canvas.getContext("2d");
	context.imageSmoothingQuality = "high";
	context.fillStyle = "#fff"; // JPEG has no transparency, and neither has the model
	context.fillRect(0, 0, width, height);
	context.drawImage(bitmap, 0, 0, width, height);
	if (type !== "image/jpeg") {
		const png = await blobOf(canvas, "image/png");
		if (png.size <= MAX_PNG_BYTES) return png;
	}
	return blobOf(canvas, "image/jpeg", JPEG_QUALITY);
}

function blobOf(canvas, type, quality) {
	return new Promise((resolve, reject) => {
		const done = (blob) =>
			blob ? resolve(blob) : reject(new PictureError(t("This picture can't be made smaller here.")));
		canvas.toBlob(done, type, quality);
	});
}

function dataUrl(blob) {
	return new Promise((resolve, reject) => {
		const reader = new FileReader();
		reader.onload = () => resolve(reader.result);
		reader.onerror = () => reject(new PictureError(t("This picture can't be read.")));
		reader.readAsDataURL(blob);
	});
}

/** A picture of the past, as the server sends it. */
export async function pictureFromDataUrl(key, dataUrl) {
	const [head, data] = dataUrl.split(",");
	const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
	const blob = new Blob([bytes], { type: head.slice(5, head.indexOf(";")) });
	const { width, height } = await createImageBitmap(blob);
	return { key, name: t("Picture"), url: URL.createObjectURL(blob), dataUrl, width, height };
}
