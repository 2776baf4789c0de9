--- The client's half of SCRAM (RFC 5802) for specs of ours.

local base64 = require "prosody.util.encodings".base64
local hashes = require "prosody.util.hashes"

local scram = {}

--- The client-final-message for what was said so far. hash: "SHA-1" or "SHA-256". extra: gs2 (another header than was
-- sent), binding (bytes), nonce (another one), extension ("x=y").
function scram.final(hash, password, client_first, server_first, extra)
	extra = extra or {}
	local gs2, bare = client_first:match("^([^,]*,[^,]*,)(.*)$")
	local nonce, salt, iterations = server_first:match("^r=([^,]+),s=([^,]+),i=(%d+)")
	local without_proof = ("c=%s,r=%s"):format(base64.encode((extra.gs2 or gs2) .. (extra.binding or "")),
		extra.nonce or nonce)
	if extra.extension then without_proof = without_proof .. "," .. extra.extension end
	local auth_message = bare .. "," .. server_first .. "," .. without_proof
	local proof = hashes.scram_prove(hash, password, base64.decode(salt), math.tointeger(tonumber(iterations)),
		auth_message)
	return without_proof .. ",p=" .. base64.encode(proof)
end

--- Runs a whole exchange with a handler of util.sasl that has selected its mechanism; gives what it said last.
-- extra: as above, and flag ("n"), authzid.
function scram.run(handler, hash, username, password, extra)
	extra = extra or {}
	local first = (extra.flag or "n") .. "," .. (extra.authzid or "") .. ",n=" .. username .. ",r=clientnonce"
	local status, server_first, text = handler:process(first)
	if status ~= "challenge" then return status, server_first, text end
	return handler:process(scram.final(hash, password, first, server_first, extra))
end

return scram
