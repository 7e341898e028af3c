using Lowbit.Core;

namespace Lowbit.Tokenizers.Patterns;

/// <summary>Counts the steps that one text or template costs, and ends the work when hostile input makes it explode.</summary>
internal sealed class WorkMeter(long limit, string what)
{
    /// <summary>Steps so far.</summary>
    public long Steps { get; private set; }

    /// <summary>A meter for a text of so many UTF-16 units: far beyond what any honest tokenizer needs.</summary>
    public static WorkMeter ForText(int length) => new(10_000_000 + 500L * length, "splitting the text by the tokenizer's patterns");

    /// <summary>Counts.</summary>
    /// <exception cref="LowbitException">The limit is passed.</exception>
    public void Add(long steps)
    {
        Steps += steps;
        if (Steps > limit)
            throw new LowbitException($"{what} took more than {limit} steps, which only a damaged or hostile file asks for; get the file again.");
    }
}
