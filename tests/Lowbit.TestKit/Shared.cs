using System;
using System.IO;
using Xunit;

namespace Lowbit.TestKit;

/// <summary>
/// Reference outputs, models and texts that lie beside the repository in <c>../shared</c> (or where LOWBIT_SHARED points).
/// They are not part of the project; tests that need them are skipped visibly where they are missing.
/// </summary>
public static class Shared
{
    public static string Repository { get; } = FindRepository();

    public static string Root { get; } =
        Environment.GetEnvironmentVariable("LOWBIT_SHARED") ?? System.IO.Path.GetFullPath(System.IO.Path.Combine(Repository, "..", "shared"));

    public static bool Exists { get; } = Directory.Exists(Root);

    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, .. parts]);

    private static string FindRepository()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "Lowbit.slnx"))) return folder.FullName;
        }
        throw new InvalidOperationException($"no Lowbit.slnx above {AppContext.BaseDirectory}");
    }
}

/// <summary>A fact that needs <see cref="Shared"/>.</summary>
public sealed class SharedFactAttribute : FactAttribute
{
    public SharedFactAttribute() => Skip = Shared.Exists ? null : $"needs reference data in {Shared.Root}";
}

/// <summary>A theory that needs <see cref="Shared"/>; its data members must tolerate that the folder is missing.</summary>
public sealed class SharedTheoryAttribute : TheoryAttribute
{
    public SharedTheoryAttribute() => Skip = Shared.Exists ? null : $"needs reference data in {Shared.Root}";
}
