// A program to be watched, without any library: a function that takes milliseconds, and a USDT probe demo:step(i, -i).
#if defined(__x86_64__)
#define NANOSLEEP 35
#define EXIT 60
#define FIRST "-4@%k0"
static long call(long number, long a, long b)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
#define NANOSLEEP 101
#define EXIT 93
#define FIRST "-4@%x0"
static long call(long number, long a, long b)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
	return x0;
}
#endif

__attribute__((noinline)) void work(int milliseconds)
{
	struct { long seconds, nanoseconds; } time = { 0, milliseconds * 1000000L };

	call(NANOSLEEP, (long)&time, 0);
}

/* As <sys/sdt.h> makes it. */
__attribute__((noinline)) void step(int a, long b)
{
	__asm__ volatile(
		"990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
		"991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte 0\n"
		".asciz \"demo\"\n.asciz \"step\"\n.asciz \"" FIRST " -8@%1\"\n994: .balign 4\n.popsection\n"
		".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
		".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection\n.endif\n"
		: : "r"(a), "r"(b));
}

void _start(void)
{
	/* A minute, should nobody end it before. */
	for (int i = 1; i < 12000; i++) {
		step(i, -i);
		work(5);
	}
	call(EXIT, 0, 0);
	__builtin_unreachable();
}
