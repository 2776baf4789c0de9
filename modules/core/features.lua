--- What modules may find out to be there before they use it: core.features.available:contains("permissions").

return {
	available = require "prosody.util.set".new {
		-- Roles, module:may and friends (Prosody 13).
		"permissions", "split-user-roles",
		-- Getters of moduleapi that 0.12 does not have.
		"getopt-enum", "getopt-integer", "getopt-interval", "getopt-period",
		-- The kind of store with both whole values and single keys.
		"keyval+",
		-- Modules that are bundled with the server and were not always.
		"mod_bookmarks",
	},
}
