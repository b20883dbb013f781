# What the loader told: the command line, the modules with their strings, and whether the memory map
# has the memory that the sizes have.
#include "start.inc"

main:
	say "magic "
	mov loader_magic, %eax
	call print_hex
	say "\nflags "
	mov (%ebx), %eax
	and $0x4d, %eax				# memory, command line, modules, map
	call print_hex
	say "\nlower "
	mov 4(%ebx), %eax
	call print_hex
	say "\ncommand line "
	mov 16(%ebx), %esi
	call print
	say "\nmodules "
	mov 20(%ebx), %eax
	call print_hex
	say "\n"

	mov 20(%ebx), %ecx
	mov 24(%ebx), %edi
	jecxz 2f
1:	say "module: "
	mov 8(%edi), %esi
	call print
	say ", "
	mov 4(%edi), %eax
	sub (%edi), %eax
	call print_hex
	say " bytes, at a page "
	mov (%edi), %eax
	and $0xfff, %eax
	call print_hex
	say ", first bytes "
	mov (%edi), %eax
	mov (%eax), %eax
	call print_hex
	say "\n"
	add $16, %edi
	loop 1b
2:
	# The RAM entry that begins at 1 MiB reaches as far as "upper" says, in KiB.
	mov 48(%ebx), %edi
	mov 44(%ebx), %ecx
	add %edi, %ecx
3:	cmp %ecx, %edi
	jae 5f
	cmpl $1, 20(%edi)
	jne 4f
	cmpl $0x100000, 4(%edi)
	jne 4f
	mov 12(%edi), %eax
	shr $10, %eax
	sub 8(%ebx), %eax
	say "the map's RAM above 1 MiB less upper "
	call print_hex
	say "\n"
4:	add (%edi), %edi
	add $4, %edi
	jmp 3b
5:	mov $5, %eax
	ret
