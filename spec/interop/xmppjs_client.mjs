// @xmpp/client (npm) against the server. One scenario per run: xmppjs_client.mjs SCENARIO PORT DIRECT_PORT
// The spec (xmppjs_spec.lua) names the authority in NODE_EXTRA_CA_CERTS, so certificates are checked.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import process from "node:process";

import "./node18.mjs";

const require = createRequire(resolve("build/npm/package.json"));
const { client, xml } = await import(require.resolve("@xmpp/client"));

const [scenario, port, directPort] = process.argv.slice(2);
const deadline = setTimeout(() => { console.log("FAIL: too slow"); process.exit(1); }, 60000);

class Person {
	constructor(username, resource, { direct = false, password = "secret" } = {}) {
		this.heard = [];
		this.waiting = [];
		this.xmpp = client({
			service: direct ? `xmpps://localhost:${directPort}` : `xmpp://localhost:${port}`,
			domain: "localhost", username, resource, password,
		});
		this.xmpp.reconnect.stop();
		this.xmpp.on("error", (error) => { this.error = error; });
		this.xmpp.on("stanza", (stanza) => {
			this.heard.push(stanza);
			this.waiting.splice(0).forEach((look) => look());
		});
	}
	async enters() {
		const jid = await this.xmpp.start();
		console.log(`${jid} is in`);
		await this.xmpp.send(xml("presence"));
		return this;
	}
	async hears(what) {
		for (;;) {
			const at = this.heard.findIndex(what);
			if (at >= 0) return this.heard.splice(at, 1)[0];
			await new Promise((look) => this.waiting.push(look));
		}
	}
	says(to, text) { return this.xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, text))); }
	body(text, from) {
		return this.hears((s) => s.is("message") && s.getChildText("body") === text && s.attrs.from.startsWith(from));
	}
	async leaves() { await this.xmpp.stop(); }
}

function assert(truth, text) { if (!truth) throw new Error(text); }

// Without an authority that vouches for the server, OpenSSL's own word ends the login.
async function distrusts(person) {
	try {
		await person.enters();
	} catch (error) {
		console.log("refused:", error.code ?? error.message);
		assert(/CERT|SIGNATURE/.test(error.code), "for another reason");
		return;
	}
	throw new Error("a strange certificate was trusted");
}

const scenarios = {
	async login_starttls() { await (await new Person("romeo", "orchard").enters()).leaves(); },
	async login_direct() { await (await new Person("romeo", "orchard", { direct: true }).enters()).leaves(); },
	async login_wrong() {
		const person = new Person("romeo", "orchard", { password: "wrong" });
		try {
			await person.enters();
		} catch (error) {
			console.log("refused:", error.condition ?? error.message);
			assert(error.condition === "not-authorized", "for another reason");
			return;
		}
		throw new Error("a wrong password was let in");
	},
	async distrust_starttls() { await distrusts(new Person("romeo", "orchard")); },
	async distrust_direct() { await distrusts(new Person("romeo", "orchard", { direct: true })); },
	async talk() {
		const romeo = await new Person("romeo", "orchard").enters();
		const juliet = await new Person("juliet", "balcony", { direct: true }).enters();
		await romeo.xmpp.iqCaller.get(xml("query", { xmlns: "jabber:iq:roster" }));
		await juliet.xmpp.iqCaller.get(xml("query", { xmlns: "jabber:iq:roster" }));
		await romeo.xmpp.send(xml("presence", { to: "juliet@localhost", type: "subscribe" }));
		await juliet.hears((s) => s.is("presence") && s.attrs.type === "subscribe");
		await juliet.xmpp.send(xml("presence", { to: "romeo@localhost", type: "subscribed" }));
		await romeo.hears((s) => s.is("presence") && s.attrs.from === "juliet@localhost/balcony" && !s.attrs.type);

		await romeo.says("juliet@localhost", "art thou there? <&>'\"");
		await juliet.body("art thou there? <&>'\"", "romeo@localhost/orchard");
		await juliet.says("romeo@localhost/orchard", "ay me \u{1f339}");
		await romeo.body("ay me \u{1f339}", "juliet@localhost/balcony");

		const tomb = await new Person("romeo", "tomb").enters();
		await juliet.says("romeo@localhost/tomb", "only here");
		await tomb.body("only here", "juliet@localhost/balcony");
		await tomb.leaves();

		await juliet.xmpp.iqCaller.set(xml("block", { xmlns: "urn:xmpp:blocking" }, xml("item", { jid: "romeo@localhost" })));
		await romeo.hears((s) => s.is("presence") && s.attrs.type === "unavailable" && s.attrs.from.startsWith("juliet"));
		await romeo.says("juliet@localhost", "villain");
		await romeo.hears((s) => s.is("message") && s.attrs.type === "error");
		await juliet.xmpp.iqCaller.set(xml("unblock", { xmlns: "urn:xmpp:blocking" }));
		await romeo.says("juliet@localhost", "again");
		const next = await juliet.hears((s) => s.is("message"));
		assert(next.getChildText("body") === "again", next.toString());
		await romeo.leaves();
		await juliet.leaves();
	},
	async password() {
		const change = async (from, to) => {
			const romeo = await new Person("romeo", "orchard", { password: from }).enters();
			await romeo.xmpp.iqCaller.set(xml("query", { xmlns: "jabber:iq:register" },
				xml("username", {}, "romeo"), xml("password", {}, to)), "localhost");
			await romeo.leaves();
		};
		await change("secret", "changed");
		await change("changed", "secret");
	},
	async offline_send() {
		const romeo = await new Person("romeo", "orchard").enters();
		await romeo.says("nurse@localhost", "where is my lady?");
		await romeo.xmpp.iqCaller.get(xml("ping", { xmlns: "urn:xmpp:ping" }), "localhost");
		await romeo.leaves();
	},
	async offline_read() {
		const nurse = await new Person("nurse", "room").enters();
		await nurse.body("where is my lady?", "romeo@localhost");
		await nurse.leaves();
	},
};

try {
	await scenarios[scenario]();
	console.log("PASS");
	clearTimeout(deadline);
	process.exit(0);
} catch (error) {
	console.log("FAIL:", error);
	process.exit(1);
}
