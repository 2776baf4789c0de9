// @xmpp/client (npm) with its stream management, through connections that break: xmppjs_resume.mjs PORT
// Prints IN, RESUMED, ANEW (a session of its own after a failed resumption), DOWN, and HEARD with the text of each
// message. Says what it reads on its input ("say TEXT") to romeo@localhost, and leaves at "quit".
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import process from "node:process";

import "./node18.mjs";

const require = createRequire(resolve("build/npm/package.json"));
const { client, xml } = await import(require.resolve("@xmpp/client"));

const juliet = client({
	service: `xmpp://localhost:${process.argv[2]}`, domain: "localhost", username: "juliet", password: "secret",
	resource: "balcony",
});
juliet.reconnect.delay = 50;

let wasIn = false;
juliet.on("error", () => {});
juliet.on("disconnect", () => console.log("DOWN"));
juliet.streamManagement.on("resumed", () => console.log("RESUMED"));
juliet.on("online", async () => {
	await juliet.send(xml("presence"));
	console.log(wasIn ? "ANEW" : "IN");
	wasIn = true;
});
juliet.on("stanza", (stanza) => {
	if (stanza.is("message")) console.log("HEARD", stanza.getChildText("body"));
});
await juliet.start();

for await (const line of createInterface({ input: process.stdin })) {
	if (line === "quit") break;
	juliet.send(xml("message", { to: "romeo@localhost", type: "chat" }, xml("body", {}, line.slice("say ".length))))
		.catch(() => {}); // while there is no connection; what is not acknowledged is sent again
}
await juliet.stop();
process.exit(0);
