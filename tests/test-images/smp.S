# All CPUs come up by INIT and SIPI to all but this one, and each says its APIC ID in its turn.
#include "start.inc"

	.set APIC, 0xfee00000
	.set APIC_ID, 0x20
	.set APIC_SPURIOUS, 0xf0
	.set APIC_ICR, 0x300
	.set INIT_ALL_OTHERS, 0xc4500
	.set SIPI_ALL_OTHERS, 0xc4600
	.set TRAMPOLINE, 0x8000

main:
	mov $trampoline, %esi
	mov $TRAMPOLINE, %edi
	mov $trampoline_end - trampoline, %ecx
	rep movsb
	orl $0x100, APIC + APIC_SPURIOUS
	movl $INIT_ALL_OTHERS, APIC + APIC_ICR
	movl $SIPI_ALL_OTHERS + (TRAMPOLINE >> 12), APIC + APIC_ICR
	call count_in
1:	cmpl $2, up
	jne 1b
	say "CPUs up "
	mov up, %eax
	call print_hex
	say ", sum of their APIC IDs "
	mov ids, %eax
	call print_hex
	say "\n"
	mov $0x2a, %eax
	ret

count_in:
	mov APIC + APIC_ID, %eax
	shr $24, %eax
	lock add %eax, ids
	lock incl up
	ret

	.code16
trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl gdt_pointer - trampoline
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $8, $protected
	.align 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 23
	.long TRAMPOLINE + gdt - trampoline
trampoline_end:

	.code32
protected:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $ap_stack_end, %esp
	call count_in
1:	hlt
	jmp 1b

	.data
up:	.long 0
ids:	.long 0
	.bss
	.align 16
	.space 256
ap_stack_end:
