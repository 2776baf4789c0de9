/* What systemd wants to hear of a service of Type=notify (sd_notify(3)): that it serves, that it lives, that it goes.
 * Without a NOTIFY_SOCKET in the environment nothing happens. */
#ifndef MAIN_NOTIFY_H
#define MAIN_NOTIFY_H

struct loop;

/* We serve. While the loop turns, the watchdog is told so as often as WATCHDOG_USEC asks. */
void notify_ready(struct loop *loop);
/* We are ending; no more calls for the watchdog. */
void notify_stopping(void);

#endif
