--- Requests and their answers (RFC 6120 8.2.3, RFC 6121 8.5): to a session, to an account, to the host.
-- Runs in the core. A request to an account or host goes on as iq/TARGET/NAMESPACE:NAME, then as
-- iq-TYPE/TARGET/NAMESPACE:NAME; an answer as iq-TYPE/TARGET/ID. What nobody answers gets service-unavailable.
-- @hooks  iq/full, iq/bare, iq/host, iq/self
-- @fires  iq-get/*/*, iq-set/*/*, iq/*/*, iq-result/*/*, iq-error/*/* (from the core)
-- @stores none
-- @spec   spec/e2e/iq_spec.lua, spec/e2e/delivery_spec.lua

local hooks = require "couplet.native".hooks

module:hook("iq/full", hooks.iq_full)
module:hook("iq/bare", hooks.iq_bare)
module:hook("iq/self", hooks.iq_self)
module:hook("iq/host", hooks.iq_host)
