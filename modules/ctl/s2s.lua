--- coupletctl s2s: streams to and from other servers, asked of the running server.

local shell = require "ctl.shell".shell

local commands = {}

commands.s2s = {
	usage = "s2s explain|show|close|known|forget [DOMAIN]",
	about = "Tell why a domain can(not) be reached, list or close streams",
	details = "    coupletctl s2s explain DOMAIN   the last attempt to talk with it, step by step\n"
		.. "    coupletctl s2s show [DOMAIN]    the streams there are\n"
		.. "    coupletctl s2s close DOMAIN     close them; the next stanza opens a new one at once\n"
		.. "    coupletctl s2s known            certificates trusted on first use\n"
		.. "    coupletctl s2s forget DOMAIN    trust the next certificate that it shows",
	run = function (ctl, args)
		return shell.run(ctl, { "s2s", table.unpack(args) })
	end,
}

return commands
