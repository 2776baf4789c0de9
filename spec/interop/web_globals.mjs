// What browsers have and Node.js has from version 20 on: Debian 12 has 18.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
