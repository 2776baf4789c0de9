/* The program. Called couplet it runs the server: Lua's core.startup reads the configuration and brings everything up,
 * then the loop runs until somebody ends it. Called coupletctl it runs the admin's tool on the same libraries. */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/core.h"
#include "main/notify.h"
#include "net/loop.h"
#include "xmpp/server.h"

/* Is there a server's Lua code in `below`, seen from the program's folder? Then that is moduledir. */
static bool is_beside(const char *dir, const char *below, char moduledir[PATH_MAX])
{
	char probe[PATH_MAX + 64];
	snprintf(probe, sizeof(probe), "%s/%s/core/startup.lua", dir, below);
	if (access(probe, R_OK) != 0)
		return false;
	snprintf(probe, sizeof(probe), "%s/%s", dir, below);
	return realpath(probe, moduledir) != NULL;
}

/* Where modules/ and the shared objects stand: in a checkout, beside build/; installed (wherever the tree was moved
 * to), in lib/couplet beside bin/; else where we were told to look at build time. */
static void find_dirs(char moduledir[PATH_MAX], char libdir[PATH_MAX])
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[len > 0 ? len : 0] = '\0';
	const char *dir = dirname(exe);
	if (is_beside(dir, "../modules", moduledir)) {
		snprintf(libdir, PATH_MAX, "%.*s/lib/couplet", PATH_MAX - 16, dir);
	} else if (is_beside(dir, "../lib/couplet/modules", moduledir)) {
		snprintf(libdir, PATH_MAX, "%.*s", (int)(strlen(moduledir) - strlen("/modules")), moduledir);
	} else {
		snprintf(moduledir, PATH_MAX, "%s", COUPLET_LIBDIR "/modules");
		snprintf(libdir, PATH_MAX, "%s", COUPLET_LIBDIR);
	}
}

/* Every client is a descriptor: what the system allows us at most is what we want from the start. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool is_ctl(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strcmp(slash != NULL ? slash + 1 : name, "coupletctl") == 0;
}

int main(int argc, char **argv)
{
	static char moduledir[PATH_MAX], libdir[PATH_MAX];
	find_dirs(moduledir, libdir);
	raise_descriptor_limit();
	struct loop *loop = loop_new();
	struct server server;
	server_init(&server, loop);
	char *error = NULL;
	struct lua_core *core = lua_core_new(&server, moduledir, libdir, &error);
	if (core == NULL) {
		fprintf(stderr, "couplet: %s\n", error);
		mem_free(error);
		return 1;
	}
	int code;
	if (argc > 0 && is_ctl(argv[0])) {
		code = lua_core_main(core, "ctl.main", "run", argc, argv);
	} else {
		/* startup.run gives 0 to go on, else the exit code plus one ends here (--help, --version, errors). */
		code = lua_core_main(core, "core.startup", "run", argc, argv);
		if (code == 0) {
			barrier_start_watchdog(core);
			mem_trim();
			notify_ready(loop);
			loop_run(loop);
			notify_stopping();
			code = core->exit_code;
		} else if (code > 0) {
			code--;
		}
	}
	loop_abort_conns(loop); /* while Lua can still be told */
	server_done(&server);
	lua_core_free(&core);
	loop_free(&loop);
	return code < 0 ? 1 : code;
}
