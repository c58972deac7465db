"""What the programs of this folder share: numbers to search, and a slow test for primes."""

import asyncio
from math import isqrt


def lucas():
    """2, 1, 3, 4, 7, 11, …: each the sum of the two before it."""
    last, this = 2, 1
    while True:
        yield last
        last, this = this, last + this


async def is_prime(number):
    """Whether a number is prime, letting others run at every division."""
    if number < 2:
        return False
    for divisor in range(2, isqrt(number) + 1):
        if number % divisor == 0:
            return False
        await asyncio.sleep(0)
    return True


async def search(numbers, wanted):
    """The first of the numbers that is wanted; ValueError if none is."""
    for number in numbers:
        if await wanted(number):
            return number
        await asyncio.sleep(0)
    raise ValueError("none found")


async def long_prime(number):
    return len(str(number)) >= 7 and await is_prime(number)
