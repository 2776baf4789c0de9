// A browser on what our server serves: browser_client.mjs SCENARIO HTTPS_PORT CERTIFICATE SHOTS_FOLDER.
// browser_spec.lua starts it. Chromium is Debian's; it trusts the one certificate that the server has, and looks for
// nothing on the network.
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import process from "node:process";

const require = createRequire(resolve("build/npm/package.json"));
const { chromium } = require("playwright-core");

const [scenario, port, certificate, shots] = process.argv.slice(2);
const site = `https://localhost:${port}`;
mkdirSync(shots, { recursive: true });

const key = new X509Certificate(readFileSync(certificate)).publicKey.export({ type: "spki", format: "der" });
const browser = await chromium.launch({
	executablePath: "/usr/bin/chromium",
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync",
		`--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`],
});

const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const complaints = []; // what no page of ours may cause

async function open(device, more) {
	const context = await browser.newContext({ locale: "en-GB", ...device, ...more });
	context.setDefaultTimeout(90000);
	const page = await context.newPage();
	page.on("pageerror", (error) => complaints.push(`script: ${error}`));
	page.on("console", (message) => {
		if (message.text().includes("Content Security Policy")) complaints.push(message.text());
	});
	page.on("request", (request) => {
		if (!/^(https:\/\/([a-z]+\.)?localhost:|blob:|data:)/.test(request.url())) complaints.push(`asks another site: ${request.url()}`);
	});
	return page;
}

function shot(page, name) { return page.screenshot({ path: `${shots}/${name}.png` }); }

function check(is_so, what) { if (!is_so) throw new Error(what); }

// ---- chat: Converse from our server, romeo at a desk, juliet with a phone ----

async function logIn(page, user) {
	const used = { sockets: 0, posts: 0 };
	page.on("websocket", (socket) => { if (socket.url().endsWith("/xmpp-websocket")) used.sockets++; });
	page.on("request", (request) => { if (request.url().endsWith("/http-bind")) used.posts++; });
	await page.goto(`${site}/conversejs/`);
	await page.fill("input[name=jid]", user);
	await page.waitForFunction(() => getComputedStyle(document.querySelector("converse-login-form")).opacity === "1");
	await shot(page, `${scenario}-${user}-login`);
	await page.fill("input[name=password]", "secret");
	await page.click("converse-login-form [type=submit]");
	await page.waitForSelector("converse-roster");
	return used;
}

async function logOut(page) {
	await page.click(".show-profile");
	await page.click("text=Log out");
	await page.click("converse-confirm-modal [type=submit]");
	await page.waitForSelector("converse-login-form");
}

// Somebody who has written stands in the group of the unread, too.
function contact(page, jid) { return page.locator(`converse-roster .open-chat[data-jid="${jid}"]`).first(); }

// A menu closes when what it belongs to is drawn anew; people then tap again.
async function choose(page, menu, item) {
	for (let i = 0; i < 10; i++) {
		await page.click(menu);
		const chosen = await page.locator(item).click({ timeout: 1000 }).then(() => true, () => false);
		if (chosen) return;
	}
	throw new Error(`${item} cannot be chosen`);
}

async function addContact(page, jid) {
	await choose(page, "#converse-roster .dropdown--contacts button", ".add-contact");
	await page.fill(".add-xmpp-contact input[name=jid]", jid);
	await page.click(".add-xmpp-contact [type=submit]");
}

async function says(page, text) {
	await page.fill("converse-chat .chat-textarea", text);
	await page.press("converse-chat .chat-textarea", "Enter");
}

function hears(page, text) {
	return page.waitForSelector(`converse-chat .chat-msg__text:has-text("${text}")`);
}

// A picture, which the other one sees at once, and a letter, which the other one opens.
async function shareFiles(romeo, juliet) {
	const picture = readFileSync(resolve("build/conversejs/images/logo/conversejs-filled-192.png"));
	await romeo.setInputFiles("converse-chat .fileupload", { name: "sun.png", mimeType: "image/png", buffer: picture });
	const image = await juliet.waitForSelector("converse-chat .chat-msg__media img, converse-chat img.chat-image");
	await juliet.waitForFunction((img) => img.complete && img.naturalWidth === 192, image);

	const letter = "Parting is such sweet sorrow,\nthat I shall say good night till it be morrow.\n";
	await juliet.setInputFiles("converse-chat .fileupload",
		{ name: "letter.txt", mimeType: "text/plain", buffer: Buffer.from(letter) });
	const [read] = await Promise.all([
		romeo.context().waitForEvent("page"), romeo.click("converse-chat .chat-msg a[href$='letter.txt']"),
	]);
	await read.waitForLoadState();
	check(await read.evaluate(() => document.body.innerText) === letter, "the letter arrived as something else");
	await read.close();
}

async function chat() {
	const romeo = await open(desktop), juliet = await open(phone, { colorScheme: "dark" });
	const used = [await logIn(romeo, "romeo"), await logIn(juliet, "juliet")];
	await addContact(romeo, "juliet@localhost");
	await choose(juliet, "converse-roster li:has(.accept-xmpp-request) .dropdown-toggle", ".accept-xmpp-request");
	await juliet.click("converse-accept-contact-request-modal [type=submit]");
	await juliet.waitForSelector(".accept-xmpp-request", { state: "detached" });
	await contact(romeo, "juliet@localhost").click();
	await says(romeo, "But, soft! what light through yonder window breaks?");
	await contact(juliet, "romeo@localhost").click();
	await hears(juliet, "what light through yonder window");
	await says(juliet, "O Romeo, Romeo! <b>wherefore</b> art thou Romeo? \u{1f339}");
	await hears(romeo, "<b>wherefore</b> art thou");
	await shareFiles(romeo, juliet);
	for (const page of [romeo, juliet]) await page.waitForSelector(".toast", { state: "detached" });
	await shot(romeo, `${scenario}-desktop`);
	await shot(juliet, `${scenario}-phone`);
	await logOut(romeo);
	for (const one of used) {
		check(scenario === "websocket" ? one.sockets > 0 && one.posts === 0 : one.sockets === 0 && one.posts > 0,
			`connected otherwise: ${JSON.stringify(one)}`);
	}
}

// ---- people without an account: a guest, and somebody who makes one ----

async function newcomers() {
	const guest = await open(phone);
	await guest.goto(`https://guests.localhost:${port}/conversejs/`);
	await guest.waitForSelector("converse-user-profile");
	await shot(guest, "guest-phone");

	const mercutio = await open(desktop, { colorScheme: "dark" });
	await mercutio.goto(`${site}/conversejs/`);
	await mercutio.click(".register-account");
	await mercutio.fill("#converse-register input[name=username]", "mercutio");
	await mercutio.fill("#converse-register input[name=password]", "a plague on both your houses");
	await shot(mercutio, "register-desktop");
	await mercutio.click("#converse-register [type=submit]");
	await mercutio.waitForSelector("converse-roster");
	for (const page of [guest, mercutio]) await logOut(page);
	await mercutio.fill("input[name=jid]", "mercutio");
	await mercutio.fill("input[name=password]", "a plague on both your houses");
	await mercutio.click("converse-login-form [type=submit]");
	await mercutio.waitForSelector("converse-roster");
}

// ---- the page of the host ----

// WCAG 2.1 1.4.3: the contrast of every text with what is behind it.
function weakContrasts() {
	const numbers = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => {
		const [r, g, b] = numbers(color).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (node) => {
		for (let at = node; at; at = at.parentElement) {
			const color = getComputedStyle(at).backgroundColor;
			if ((numbers(color)[3] ?? 1) > 0) return color;
		}
		return "rgb(255, 255, 255)";
	};
	const weak = [];
	for (const node of document.body.querySelectorAll("*")) {
		if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
		const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) weak.push(`${node.tagName} ${node.textContent}`);
	}
	return weak;
}

async function landing() {
	for (const [name, device, colorScheme] of [["desktop-light", desktop, "light"], ["desktop-dark", desktop, "dark"],
		["phone-light", phone, "light"], ["phone-dark", phone, "dark"]]) {
		const page = await open(device, { colorScheme });
		await page.goto(`${site}/`);
		await page.screenshot({ path: `${shots}/landing-${name}.png`, fullPage: true });
		const weak = await page.evaluate(weakContrasts);
		check(weak.length === 0, `hard to read: ${weak.join(", ")}`);
		check(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${name}: wider than the screen`);
		for (const landmark of ["main", "header", "h1", "html[lang]"]) {
			check(await page.locator(landmark).count() === 1, `no ${landmark}`);
		}
	}
	const page = await open(phone, { javaScriptEnabled: false });
	await page.goto(`${site}/`);
	await page.click("text=Chat in your browser");
	check(page.url() === `${site}/conversejs/`, `led to ${page.url()}`);
	check(await page.locator("noscript").isVisible(), "nothing for those without JavaScript");
}

try {
	await ({ landing, newcomers }[scenario] ?? chat)();
	check(complaints.length === 0, complaints.join("\n"));
	console.log("PASS");
} catch (error) {
	console.log(error.stack);
	let n = 0;
	for (const context of browser.contexts()) {
		for (const page of context.pages()) await shot(page, `${scenario}-failed-${++n}`);
	}
	console.log([...complaints, `FAIL; screenshots are in ${shots}`].join("\n"));
}
await browser.close();
