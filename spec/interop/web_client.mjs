// strophe.js and @xmpp/client (npm) over WebSocket and BOSH. One scenario per run:
// web_client.mjs LIBRARY TRANSPORT HTTPS_PORT. web_spec.lua names the authority in NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import process from "node:process";

import "./node18.mjs";

const require = createRequire(resolve("build/npm/package.json"));
globalThis.WebSocket = require("ws");
globalThis.XMLHttpRequest = require("xhr2");
// A browser's XMLHttpRequest has the answer as a document; xhr2 has only its text.
const { DOMParser } = require("@xmldom/xmldom");
Object.defineProperty(XMLHttpRequest.prototype, "responseXML", { get() {
	return this.responseText ? new DOMParser().parseFromString(this.responseText, "text/xml") : null;
} });

const [library, transport, port] = process.argv.slice(2);
const service = transport === "websocket" ? `wss://localhost:${port}/xmpp-websocket`
	: `https://localhost:${port}/http-bind`;
setTimeout(() => { console.log("FAIL: too slow"); process.exit(1); }, 40000);

async function withStrophe() {
	const { Strophe, $pres, $msg, $iq } = require("strophe.js");
	const connect = (user) => new Promise((done, fail) => {
		const connection = new Strophe.Connection(service);
		connection.heard = [];
		connection.waiting = [];
		connection.connect(`${user}@localhost/${user}-web`, "secret", (status, why) => {
			if (status === Strophe.Status.CONNECTED) {
				connection.addHandler((stanza) => {
					connection.heard.push(stanza);
					connection.waiting.splice(0).forEach((look) => look());
					return true;
				}, null, "message");
				done(connection);
			} else if (status === Strophe.Status.AUTHFAIL || status === Strophe.Status.CONNFAIL) {
				fail(new Error(`${status} ${why}`));
			}
		});
	});
	const hears = async (connection, text) => {
		for (;;) {
			const at = connection.heard.findIndex((m) => m.getElementsByTagName("body")[0]?.textContent === text);
			if (at >= 0) return connection.heard.splice(at, 1)[0];
			await new Promise((look) => connection.waiting.push(look));
		}
	};
	const romeo = await connect("romeo"), juliet = await connect("juliet");
	for (const one of [romeo, juliet]) one.send($pres());
	for (let i = 0; i < 50; i++) {
		romeo.send($msg({ to: juliet.jid, type: "chat" }).c("body").t(`${i} <&>'" \u{1f339}`));
		await hears(juliet, `${i} <&>'" \u{1f339}`);
		juliet.send($msg({ to: romeo.jid, type: "chat" }).c("body").t(`re ${i}`));
		await hears(romeo, `re ${i}`);
	}
	await new Promise((done, fail) => romeo.sendIQ(
		$iq({ type: "get", to: "localhost" }).c("ping", { xmlns: "urn:xmpp:ping" }), done, fail, 5000));
	for (const one of [romeo, juliet]) {
		await new Promise((done) => {
			one.connect_callback = (status) => { if (status === Strophe.Status.DISCONNECTED) done(); };
			one.disconnect("bye");
		});
	}
}

async function withXmppJs() {
	const { client, xml } = await import(require.resolve("@xmpp/client"));
	const enter = async (username) => {
		const xmpp = client({ service, domain: "localhost", username, resource: `${username}-web`, password: "secret" });
		xmpp.reconnect.stop();
		xmpp.heard = [];
		xmpp.waiting = [];
		xmpp.on("error", (error) => console.log(String(error)));
		xmpp.on("stanza", (stanza) => {
			xmpp.heard.push(stanza);
			xmpp.waiting.splice(0).forEach((look) => look());
		});
		xmpp.jidText = String(await xmpp.start());
		await xmpp.send(xml("presence"));
		return xmpp;
	};
	const hears = async (xmpp, text) => {
		for (;;) {
			const at = xmpp.heard.findIndex((s) => s.is("message") && s.getChildText("body") === text);
			if (at >= 0) return xmpp.heard.splice(at, 1)[0];
			await new Promise((look) => xmpp.waiting.push(look));
		}
	};
	const romeo = await enter("romeo"), juliet = await enter("juliet");
	for (let i = 0; i < 50; i++) {
		await romeo.send(xml("message", { to: juliet.jidText, type: "chat" }, xml("body", {}, `${i} <&>'" \u{1f339}`)));
		await hears(juliet, `${i} <&>'" \u{1f339}`);
	}
	await romeo.iqCaller.get(xml("ping", { xmlns: "urn:xmpp:ping" }), "localhost");
	await romeo.stop();
	await juliet.stop();
}

try {
	await (library === "strophe" ? withStrophe() : withXmppJs());
	console.log("PASS");
	process.exit(0);
} catch (error) {
	console.log("FAIL:", error);
	process.exit(1);
}
