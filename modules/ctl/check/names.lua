--- The DNS as checks ask it: all questions first, then the answers one by one, so that a dead name server is waited for
-- once.

local dns = require "prosody.net.dns"
local native = require "couplet.native"
local unbound = require "prosody.net.unbound"

local methods = {}
local names_mt = { __index = methods }

--- Asks, unless that was asked before.
function methods:ask(name, qtype)
	local key = name .. "/" .. qtype
	local question = self.questions[key]
	if not question then
		question = {}
		self.questions[key] = question
		unbound.default:lookup(function (answer, err)
			question.is_answered, question.answer, question.err = true, answer, err
		end, name, qtype)
	end
	return question
end

--- Waits for the answer, as net.dns describes it; nil and a sentence when there is none that says anything.
function methods:answer(name, qtype)
	local question = self:ask(name, qtype)
	while not question.is_answered do native.turn(true) end
	local answer = question.answer
	if not answer or answer.bogus or dns.is_unanswered(answer) then
		return nil, dns.describe(name, qtype, answer, question.err)
	end
	return answer
end

--- The addresses of a name, those of IPv6 first, and the name it is an alias of, if it is one; nil and a sentence.
function methods:addresses(name)
	self:ask(name, "AAAA")
	self:ask(name, "A")
	local list, alias = {}, nil
	for _, qtype in ipairs { "AAAA", "A" } do
		local answer, err = self:answer(name, qtype)
		if not answer then return nil, err end
		for _, record in ipairs(answer) do table.insert(list, record[qtype:lower()]) end
		local canonical = answer.canonname and answer.canonname:gsub("%.$", "")
		if answer[1] and canonical and canonical ~= (dns.to_ascii(name) or name):gsub("%.$", "") then alias = canonical end
	end
	return list, alias
end

--- nil and a sentence when names cannot be looked up here at all.
local function new()
	if not unbound.is_available then
		return nil, "this server was built without libunbound, so names cannot be looked up"
	end
	return setmetatable({ questions = {} }, names_mt)
end

return { new = new }
