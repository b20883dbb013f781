/*
 * The /init of the tests' initramfs: says that it runs, and restarts the machine. On a host where
 * `syscall` does not reach the guest's kernel it dies of the first one instead, and Linux panics.
 */
#include <asm/unistd_64.h>
#include <linux/reboot.h>

.globl _start
_start:
	mov $__NR_write, %eax
	mov $1, %edi
	lea said(%rip), %rsi
	mov $said_end - said, %edx
	syscall

	mov $__NR_reboot, %eax
	mov $LINUX_REBOOT_MAGIC1, %edi
	mov $LINUX_REBOOT_MAGIC2, %esi
	mov $LINUX_REBOOT_CMD_RESTART, %edx
	syscall
	ud2

said:
	.ascii "init: user space runs\n"
said_end:
