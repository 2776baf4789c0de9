/* What the files of this room ask of server.c beyond server.h. */
#ifndef XMPP_SERVER_PRIVATE_H
#define XMPP_SERVER_PRIVATE_H

struct server;
struct session;

/* Gives the session an id and puts it on the server's list; takes it off again. */
void server_add_session(struct server *server, struct session *session);
void server_remove_session(struct server *server, struct session *session);

#endif
