local T = require "couplet_core".base

describe("an error", function()
	it("collects context in front of its text", function()
		assert.equal("store: roster of romeo: disk full", T.error("disk full", "roster of romeo", "store"))
	end)

	it("is cut on a character boundary when it is too long", function()
		assert.equal(("x"):rep(510), T.error(("x"):rep(510) .. "\u{e9}"))
		assert.equal(("x"):rep(509) .. "\u{e9}", T.error(("x"):rep(509) .. "\u{e9}"))
		assert.equal(("x"):rep(509), T.error(("x"):rep(509) .. "\u{20ac}"))
		assert.equal(("x"):rep(508), T.error(("x"):rep(508) .. "\u{1f600}"))
		assert.equal("context: " .. ("\u{e9}"):rep(251), T.error(("\u{e9}"):rep(255), "context"))
	end)
end)
