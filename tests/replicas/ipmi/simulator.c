/* A module for OpenIPMI's ipmi_sim (loadlib in its lan.conf), which knows no DCMI: answers the group's
 * commands with the bytes that its options say, in hexadecimal, from the completion code on. The
 * declarations are those of OpenIPMI/mcserv.h, as far as they are needed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DCMI 0xdc
#define MOST 64

typedef void (*handler)(void *mc, void *msg, unsigned char *answer, unsigned int *length, void *data);
extern void ipmi_emu_register_group_extension_handler(uint8_t group, handler handle, void *data);

static unsigned char bytes[MOST];
static unsigned int count;

static void answer(void *mc, void *msg, unsigned char *to, unsigned int *length, void *data)
{
	(void)mc, (void)msg, (void)data;
	memcpy(to, bytes, count);
	*length = count;
}

int ipmi_sim_module_print_version(void *sys, const char *options)
{
	(void)sys, (void)options;
	return 0;
}

int ipmi_sim_module_init(void *sys, const char *options)
{
	(void)sys;
	for (char *at = (char *)options, *end; count < MOST; at = end) {
		unsigned long byte = strtoul(at, &end, 16);
		if (end == at)
			break;
		bytes[count++] = (unsigned char)byte;
	}
	ipmi_emu_register_group_extension_handler(DCMI, answer, NULL);
	return 0;
}
