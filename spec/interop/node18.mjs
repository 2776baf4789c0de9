// Debian 12 has Node.js 18; clients expect what later ones do.
import { webcrypto } from "node:crypto";
import { setDefaultResultOrder } from "node:dns";

globalThis.crypto ??= webcrypto;
// Node.js 18 tries one address only, and servers of specs listen at 127.0.0.1.
setDefaultResultOrder("ipv4first");
