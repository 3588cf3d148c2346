/* The kernel's IPMI device for a program that this library is preloaded into: opening $IPMI_DEVICE gives an
 * eventfd, and the ioctls of <linux/ipmi.h> on it are answered as ipmi_devintf does, with structures and
 * numbers from that header.
 *
 * $IPMI_ANSWER is a file: how the next question is answered. Its first word is a manner, what follows are
 * bytes in hexadecimal, from the completion code on:
 *   answer BYTES      as a BMC does
 *   late BYTES        nothing now; with the next question, before that one's own answer
 *   silent            never
 *   stranger BYTES    with another network function
 * Each question is appended to $IPMI_ASKED. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipmi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MOST 2048
#define QUEUE 4

struct answer {
	long msgid;
	unsigned char netfn, cmd, data[MOST];
	unsigned short length;
};

static int device = -1;
static struct answer late, queue[QUEUE];
static int is_late, queued;

static int open_device(void)
{
	/* Count by count, as messages are taken one by one. */
	device = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
	is_late = queued = 0;
	return device;
}

static int is_device(const char *path)
{
	const char *meant = getenv("IPMI_DEVICE");
	return meant && strcmp(path, meant) == 0;
}

#define OPEN(name)                                                                          \
	int name(const char *path, int flags, ...)                                          \
	{                                                                                   \
		va_list more;                                                               \
		va_start(more, flags);                                                      \
		int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;           \
		va_end(more);                                                               \
		if (is_device(path))                                                        \
			return open_device();                                               \
		int (*real)(const char *, int, ...) =                                       \
			(int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);           \
		return real(path, flags, mode);                                             \
	}

OPEN(open)
OPEN(open64)

static void push(struct answer *answer)
{
	unsigned long long one = 1;
	if (queued == QUEUE)
		return;
	queue[queued++] = *answer;
	if (write(device, &one, sizeof(one)) < 0)
		abort();
}

static void note(const struct ipmi_req *req)
{
	FILE *asked = fopen(getenv("IPMI_ASKED"), "a");
	const struct ipmi_system_interface_addr *to = (void *)req->addr;
	fprintf(asked, "type %x channel %x lun %x netfn %x cmd %x data", to->addr_type, to->channel, to->lun,
		req->msg.netfn, req->msg.cmd);
	for (int i = 0; i < req->msg.data_len; i++)
		fprintf(asked, " %02x", req->msg.data[i]);
	fprintf(asked, "\n");
	fclose(asked);
}

static int send_command(const struct ipmi_req *req)
{
	char text[3 * MOST] = "", *at = text, *end;
	FILE *file = fopen(getenv("IPMI_ANSWER"), "r");
	size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	text[length] = 0;
	if (file)
		fclose(file);
	note(req);
	if (is_late)
		push(&late);
	is_late = 0;
	char *manner = strsep(&at, " \n");
	struct answer answer = { .msgid = req->msgid, .netfn = req->msg.netfn | 1, .cmd = req->msg.cmd };
	for (; at && answer.length < MOST; at = end) {
		unsigned long byte = strtoul(at, &end, 16);
		if (end == at)
			break;
		answer.data[answer.length++] = (unsigned char)byte;
	}
	if (strcmp(manner, "stranger") == 0)
		answer.netfn = 0x07;
	if (strcmp(manner, "late") == 0) {
		late = answer;
		is_late = 1;
	} else if (strcmp(manner, "silent") != 0) {
		push(&answer);
	}
	return 0;
}

static int receive(struct ipmi_recv *recv)
{
	unsigned long long one;
	if (read(device, &one, sizeof(one)) < 0)
		return -1;
	struct answer answer = queue[0];
	memmove(queue, queue + 1, sizeof(queue[0]) * --queued);
	struct ipmi_system_interface_addr from = { .addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE,
						   .channel = IPMI_BMC_CHANNEL };
	if (recv->addr_len < sizeof(from)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(recv->addr, &from, sizeof(from));
	recv->addr_len = sizeof(from);
	recv->recv_type = IPMI_RESPONSE_RECV_TYPE;
	recv->msgid = answer.msgid;
	recv->msg.netfn = answer.netfn;
	recv->msg.cmd = answer.cmd;
	int fits = answer.length <= recv->msg.data_len;
	if (fits)
		recv->msg.data_len = answer.length;
	memcpy(recv->msg.data, answer.data, recv->msg.data_len);
	if (!fits)
		errno = EMSGSIZE;
	return fits ? 0 : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list more;
	va_start(more, request);
	void *argument = va_arg(more, void *);
	va_end(more);
	if (fd < 0 || fd != device) {
		int (*real)(int, unsigned long, ...) =
			(int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
		return real(fd, request, argument);
	}
	switch ((unsigned int)request) {
	case (unsigned int)(IPMICTL_SEND_COMMAND):
		return send_command(argument);
	case (unsigned int)(IPMICTL_RECEIVE_MSG_TRUNC):
		return receive(argument);
	case (unsigned int)(IPMICTL_GET_MY_ADDRESS_CMD):
		*(unsigned int *)argument = IPMI_BMC_SLAVE_ADDR;
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}
