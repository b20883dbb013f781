# The devices that test images look for: the configuration port's signature and number of CPUs, the
# test device's latch at every width, and its interrupt lines by way of the PIC.
#include "start.inc"

	.set FW_CFG_SELECT, 0x510
	.set FW_CFG_DATA, 0x511
	.set FW_CFG_SIGNATURE, 0x0
	.set FW_CFG_CPUS, 0x5
	.set LATCH, 0xe0
	.set IRQ_LINES, 0x2000
	.set LINE, 5
	.set VECTOR, 0x20 + LINE

main:
	say "signature "
	mov $FW_CFG_SIGNATURE, %ax
	call read_config
	call print_hex
	say "\nCPUs "
	mov $FW_CFG_CPUS, %ax
	call read_config
	movzwl %ax, %eax
	call print_hex

	say "\nlatch "
	mov $LATCH, %edx
	mov $0x12345678, %eax
	out %eax, (%dx)
	xor %eax, %eax
	in (%dx), %eax
	call print_hex
	say " "
	mov $0xabcd, %eax
	out %ax, (%dx)
	xor %eax, %eax
	in (%dx), %ax
	call print_hex
	say " "
	mov $0xef, %eax
	out %al, (%dx)
	xor %eax, %eax
	in (%dx), %al
	call print_hex
	say "\n"

	call take_interrupts
	mov $IRQ_LINES + LINE, %edx
	mov $1, %al
	out %al, (%dx)
	sti
1:	pause
	jmp 1b

# KVM emulates no IRET in protected mode, so where it emulates CPL 0 nothing may return by one.
handler:
	add $12, %esp
	incl interrupts
	mov $IRQ_LINES + LINE, %edx
	mov $0, %al
	out %al, (%dx)
	mov $0x20, %al
	out %al, $0x20
	say "interrupts "
	mov interrupts, %eax
	call print_hex
	say "\n"
	mov $0, %eax
	ret

# The first four bytes of item AX, the first of them highest; an item's bytes come one by one.
read_config:
	mov $FW_CFG_SELECT, %edx
	out %ax, (%dx)
	mov $FW_CFG_DATA, %edx
	in (%dx), %al
	mov %al, %cl
	in (%dx), %al
	mov %al, %ch
	in (%dx), %al
	mov %al, %bh
	in (%dx), %al
	mov %al, %ah
	mov %bh, %al
	shl $16, %eax
	mov %cx, %ax
	ret

# An IDT with one gate, and a PIC that lets one line through, edge-triggered as after a reset.
take_interrupts:
	lgdt gdt_pointer
	ljmp $8, $1f
1:	mov $handler, %eax
	mov %ax, idt + 8 * VECTOR
	movw $8, idt + 8 * VECTOR + 2
	movw $0x8e00, idt + 8 * VECTOR + 4
	shr $16, %eax
	mov %ax, idt + 8 * VECTOR + 6
	lidt idt_pointer
	mov $0x11, %al
	out %al, $0x20
	mov $0x20, %al
	out %al, $0x21
	mov $0x04, %al
	out %al, $0x21
	mov $0x01, %al
	out %al, $0x21
	mov $~(1 << LINE), %al
	out %al, $0x21
	ret

	.data
	.align 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 23
	.long gdt
idt_pointer:
	.word 8 * 0x30 - 1
	.long idt
interrupts:
	.long 0
	.bss
	.align 8
idt:	.space 8 * 0x30
