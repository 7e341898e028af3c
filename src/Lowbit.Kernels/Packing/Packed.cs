using System.Collections.Immutable;

namespace Lowbit.Kernels;

/// <summary>A packed matrix in memory: its layout and its parts. Parts that would be empty are left out.</summary>
/// <typeparam name="TLayout">The numbers that say how the parts lie.</typeparam>
/// <param name="Layout">How the parts lie.</param>
/// <param name="Parts">The tensors of the file.</param>
public sealed record Packed<TLayout>(TLayout Layout, ImmutableArray<PackedPart> Parts);
