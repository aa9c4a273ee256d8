/* Files into and out of a container (copy.c): each takes its arguments, NULL at the end, and returns an exit status. */
#ifndef BABELHOST_COPY_H
#define BABELHOST_COPY_H

int put_main(char **arguments);
int get_main(char **arguments);

#endif
