--- SQLite (see core/lua/so_sqlite.c): a shared object of its own, so that a server without a database does not need it.
return require "couplet.sqlite3"
