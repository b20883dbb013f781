# The PIT's ticks by pin 2 of the I/O APIC, where a PC has them: as many as TICKS.
#include "start.inc"
#ifndef TICKS
#define TICKS 5
#endif

	.set APIC, 0xfee00000
	.set APIC_EOI, 0xb0
	.set APIC_SPURIOUS, 0xf0
	.set IO_APIC, 0xfec00000
	.set IO_APIC_DATA, 0x10
	.set PIN, 2
	.set VECTOR, 0x30
	.set PIT_CHANNEL_0, 0x40
	.set PIT_MODE, 0x43

main:
	lgdt gdt_pointer
	ljmp $8, $1f
1:	mov $handler, %eax
	mov %ax, idt + 8 * VECTOR
	movw $8, idt + 8 * VECTOR + 2
	movw $0x8e00, idt + 8 * VECTOR + 4
	shr $16, %eax
	mov %ax, idt + 8 * VECTOR + 6
	lidt idt_pointer

	# Both PICs masked; fixed delivery to APIC ID 0, edge-triggered.
	mov $0xff, %al
	out %al, $0x21
	out %al, $0xa1
	orl $0x100, APIC + APIC_SPURIOUS
	movl $0x10 + 2 * PIN + 1, IO_APIC
	movl $0, IO_APIC + IO_APIC_DATA
	movl $0x10 + 2 * PIN, IO_APIC
	movl $VECTOR, IO_APIC + IO_APIC_DATA

	# Channel 0, low and high byte, rate generator: 100 a second.
	mov $0x34, %al
	out %al, $PIT_MODE
	mov $11932 & 0xff, %al
	out %al, $PIT_CHANNEL_0
	mov $11932 >> 8, %al
	out %al, $PIT_CHANNEL_0
wait:
	sti
2:	pause
	jmp 2b

# Returns by no IRET, see devices.S.
handler:
	add $12, %esp
	movl $0, APIC + APIC_EOI
	incl ticks
	cmpl $1, ticks
	jne 3f
	say "ticking\n"
3:	cmpl $TICKS, ticks
	jb wait
	say "ticks "
	mov ticks, %eax
	call print_hex
	say "\n"
	mov $0x11, %eax
	ret

	.data
	.align 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 23
	.long gdt
idt_pointer:
	.word 8 * 0x40 - 1
	.long idt
ticks:	.long 0
	.bss
	.align 8
idt:	.space 8 * 0x40
